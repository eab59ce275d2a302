/* Runs a network once, and writes the timer's value after each call of a kernel to marks.bin. */
#include <stdint.h>

#define SYST ((volatile uint32_t *)0xE000E010)

int RUN(const uint8_t *pixels, int8_t *scores);
uint8_t *IMAGE(void);
void memnas_mark(void);

static uint32_t marks[MARKS];
static uint32_t count;

__attribute__((noinline)) void memnas_mark(void)
{
    marks[count++] = SYST[2];
}

static uint32_t host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int main(void)
{
    const uint32_t name[] = {(uint32_t)"marks.bin", 5, 9};
    int8_t scores[CLASSES];
    uint32_t loop = LOOP / 2;
    SYST[1] = 0xFFFFFF;
    SYST[2] = 0;
    SYST[0] = 5;
    memnas_mark();
    __asm__ volatile("1: subs %0, #1\n bne 1b" : "+l"(loop) : : "cc");
    memnas_mark();
    RUN(IMAGE(), scores);
    memnas_mark();
    const uint32_t file = host(1, name);
    const uint32_t content[] = {file, (uint32_t)marks, 4 * count};
    host(5, content);
    host(2, &file);
    host(0x18, (const void *)0x20026);
    return 0;
}
