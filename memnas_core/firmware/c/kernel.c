/* A kernel stays a function of its own, whatever calls it: what it takes in flash and time can be told beforehand. */
#if defined(__clang__)
#define MEMNAS_KERNEL static __attribute__((noinline))
#elif defined(__GNUC__)
#define MEMNAS_KERNEL static __attribute__((noipa))
#else
#define MEMNAS_KERNEL static
#endif
