/* Runs a network on images that the emulator's host keeps in a file, and writes what came out to others.

   Semihosting reads images.bin and writes scores.bin; ticks.bin has the ticks of a loop of LOOP
   instructions, those of each image, and the bytes of stack below the call at the most. */
#include <stdint.h>

#define PAINT 0x5AA5C33Cu
#define SYST_CONTROL (*(volatile uint32_t *)0xE000E010)
#define SYST_RELOAD (*(volatile uint32_t *)0xE000E014)
#define SYST_VALUE (*(volatile uint32_t *)0xE000E018)
#define WRAPPED 0x10000u

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, EXIT = 0x18 };

int RUN(const uint8_t *pixels, int8_t *scores);
uint8_t *IMAGE(void);
extern uint32_t memnas_stack_bottom[];

static uint32_t host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t arguments[] = {(uint32_t)name, mode, length};
    return host(OPEN, arguments);
}

/* Returns the bytes that were not read or written. */
static uint32_t transfer(uint32_t operation, uint32_t file, void *bytes, uint32_t length)
{
    const uint32_t arguments[] = {file, (uint32_t)bytes, length};
    return host(operation, arguments);
}

static void begin_ticks(void)
{
    SYST_RELOAD = 0xFFFFFF;
    SYST_VALUE = 0;
    SYST_CONTROL = 5;
}

/* Ticks since they began; all bits are set if there were too many to count. */
static uint32_t ticks(void)
{
    uint32_t value = SYST_VALUE;
    uint32_t wrapped = SYST_CONTROL & WRAPPED;
    SYST_CONTROL = 0;
    return wrapped ? 0xFFFFFFFFu : 0xFFFFFF - value;
}

static uint32_t loop_ticks(void)
{
    uint32_t count = LOOP / 2;
    begin_ticks();
    __asm__ volatile("1: subs %0, #1\n bne 1b" : "+l"(count) : : "cc");
    return ticks();
}

/* Runs the network once on a painted stack; returns its ticks, and the bytes of stack that it took. */
__attribute__((noinline)) static uint32_t measured_run(int8_t *scores, uint32_t *stack)
{
    uint32_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (volatile uint32_t *word = memnas_stack_bottom; word < (volatile uint32_t *)top; word++) {
        *word = PAINT;
    }
    begin_ticks();
    RUN(IMAGE(), scores);
    uint32_t took = ticks();
    const volatile uint32_t *word = memnas_stack_bottom;
    while (word < (volatile uint32_t *)top && *word == PAINT) {
        word++;
    }
    *stack = (uint32_t)top - (uint32_t)word;
    return took;
}

int main(void)
{
    uint32_t images = open_file("images.bin", 10, 1), scores = open_file("scores.bin", 10, 5);
    uint32_t counts = open_file("ticks.bin", 9, 5), loop = loop_ticks(), most = 0;
    transfer(WRITE, counts, &loop, sizeof loop);
    while (transfer(READ, images, IMAGE(), PIXELS) == 0) {
        int8_t found[CLASSES];
        uint32_t stack, took = measured_run(found, &stack);
        most = stack > most ? stack : most;
        transfer(WRITE, scores, found, CLASSES);
        transfer(WRITE, counts, &took, sizeof took);
    }
    transfer(WRITE, counts, &most, sizeof most);
    host(CLOSE, &scores);
    host(CLOSE, &counts);
    host(EXIT, (const void *)0x20026);
    return 0;
}
