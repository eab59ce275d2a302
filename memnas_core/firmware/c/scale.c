/* The kernels shift negative numbers to the right, which C leaves to the compiler; this one must keep the sign. */
typedef char memnas_shifts_keep_the_sign[(-1 >> 1) == -1 ? 1 : -1];

/* value * multiplier * 2^(shift - 31): the upper half of the doubled product, rounded, then a division by a power of
   two that rounds halves away from zero. */
static inline int32_t memnas_scale(int32_t value, int32_t multiplier, int shift)
{
    int left = shift > 0 ? shift : 0;
    int right = shift > 0 ? 0 : -shift;
    int64_t product = (int64_t)value * multiplier * ((int64_t)1 << left);
    int32_t high = (int32_t)((product + ((int64_t)1 << 30)) >> 31);
    int32_t mask = (int32_t)(((uint32_t)1 << right) - 1);
    int32_t half = (mask >> 1) + (high < 0);
    return (high >> right) + ((high & mask) > half);
}

static inline int8_t memnas_clamp(int32_t value, int32_t least)
{
    return (int8_t)(value < least ? least : value > 127 ? 127 : value);
}
