/* A convolution; weights have the order output channel, height, width, input channel. Two output channels are computed
   together, so that each value of the input is read once for both; the last of an odd number is computed twice. */
MEMNAS_KERNEL void memnas_convolve(const memnas_weighted *layer, const int8_t *in, int8_t *restrict out)
{
    const memnas_window *const w = &layer->window;
    const int channels = w->in_channels, kernel_width = w->kernel_width, zero = layer->in_zero;
    const int kernel_size = w->kernel_height * kernel_width * channels;
    for (int y = 0; y < w->out_height; y++) {
        const int top = y * w->stride_y - w->pad_y;
        const memnas_taps rows = memnas_inside(top, w->kernel_height, w->dilation, w->in_height);
        for (int x = 0; x < w->out_width; x++, out += w->out_step) {
            const int left = x * w->stride_x - w->pad_x;
            const memnas_taps columns = memnas_inside(left, kernel_width, w->dilation, w->in_width);
            for (int channel = 0; channel < w->out_channels; channel += 2) {
                const int other = channel + (channel + 1 < w->out_channels);
                const int8_t *kernel = layer->weights + channel * kernel_size;
                const int8_t *other_kernel = layer->weights + other * kernel_size;
                int32_t sum = layer->biases[channel], other_sum = layer->biases[other];
                for (int row = rows.begin; row < rows.end; row++) {
                    const int8_t *line = in + (top + row * w->dilation) * w->in_width * w->in_step;
                    for (int column = columns.begin; column < columns.end; column++) {
                        const int8_t *pixel = line + (left + column * w->dilation) * w->in_step;
                        const int8_t *const end = pixel + channels;
                        const int tap = (row * kernel_width + column) * channels;
                        const int8_t *weight = kernel + tap, *other_weight = other_kernel + tap;
                        while (pixel < end) {
                            const int32_t value = *pixel++ - zero;
                            sum += value * *weight++;
                            other_sum += value * *other_weight++;
                        }
                    }
                }
                sum = memnas_scale(sum, layer->multipliers[channel], layer->shifts[channel]);
                other_sum = memnas_scale(other_sum, layer->multipliers[other], layer->shifts[other]);
                out[channel] = memnas_clamp(sum + layer->out_zero, layer->least);
                out[other] = memnas_clamp(other_sum + layer->out_zero, layer->least);
            }
        }
    }
}
