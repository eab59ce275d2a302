/* Pixels as cameras give them to the network's own values, by a table for each channel; `out` may be `pixels`. */
MEMNAS_KERNEL void memnas_prepare(const int8_t *tables, int32_t count, int channels, const uint8_t *pixels, int8_t *out)
{
    for (int32_t pixel = 0; pixel < count; pixel++) {
        for (int channel = 0; channel < channels; channel++) {
            *out++ = tables[256 * channel + *pixels++];
        }
    }
}

MEMNAS_KERNEL int memnas_largest(const int8_t *scores, int count)
{
    int largest = 0;
    for (int i = 1; i < count; i++) {
        if (scores[i] > scores[largest]) {
            largest = i;
        }
    }
    return largest;
}
