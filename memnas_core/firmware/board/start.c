/* What runs before main on a Cortex-M: the vector table, and the memory as C expects it. */
#include <stdint.h>

extern uint32_t memnas_stack_top[], memnas_data_load[], memnas_data_begin[], memnas_data_end[], memnas_bss_begin[],
    memnas_bss_end[];

int main(void);

void memnas_reset(void)
{
#ifdef MEMNAS_COPROCESSORS
    *(volatile uint32_t *)0xE000ED88 |= 0x00F00000; /* CPACR: floating point and vectors */
#endif
    const uint32_t *from = memnas_data_load;
    for (volatile uint32_t *to = memnas_data_begin; to < (volatile uint32_t *)memnas_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = memnas_bss_begin; to < (volatile uint32_t *)memnas_bss_end; to++) {
        *to = 0;
    }
    main();
    for (;;) {
    }
}

static void memnas_fault(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void *const memnas_vectors[16] = {
    memnas_stack_top, memnas_reset, memnas_fault, memnas_fault, memnas_fault, memnas_fault, memnas_fault,
};
