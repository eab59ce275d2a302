/* The sum of two tensors of one shape, each first brought to a common scale; `out` may be one of them. */
typedef struct {
    int32_t pixels, multipliers[2], out_multiplier;
    int16_t channels, steps[2], out_step, zeros[2], out_zero, least;
    int8_t shifts[2], out_shift;
} memnas_sum;

MEMNAS_KERNEL void memnas_add(const memnas_sum *layer, const int8_t *first, const int8_t *second, int8_t *out)
{
    for (int32_t pixel = 0; pixel < layer->pixels; pixel++) {
        for (int channel = 0; channel < layer->channels; channel++) {
            const int32_t one = (first[channel] - layer->zeros[0]) * (1 << 20);
            const int32_t other = (second[channel] - layer->zeros[1]) * (1 << 20);
            int32_t sum = memnas_scale(one, layer->multipliers[0], layer->shifts[0])
                + memnas_scale(other, layer->multipliers[1], layer->shifts[1]);
            sum = memnas_scale(sum, layer->out_multiplier, layer->out_shift) + layer->out_zero;
            out[channel] = memnas_clamp(sum, layer->least);
        }
        first += layer->steps[0];
        second += layer->steps[1];
        out += layer->out_step;
    }
}
