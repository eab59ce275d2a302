/* A convolution; weights have the order output channel, height, width, input channel. */
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
            const int8_t *kernel = layer->weights;
            for (int channel = 0; channel < w->out_channels; channel++, kernel += kernel_size) {
                int32_t sum = layer->biases[channel];
                for (int row = rows.begin; row < rows.end; row++) {
                    const int8_t *line = in + (top + row * w->dilation) * w->in_width * w->in_step;
                    for (int column = columns.begin; column < columns.end; column++) {
                        const int8_t *pixel = line + (left + column * w->dilation) * w->in_step;
                        const int8_t *weight = kernel + (row * kernel_width + column) * channels;
                        for (int i = 0; i < channels; i++) {
                            sum += (pixel[i] - zero) * weight[i];
                        }
                    }
                }
                sum = memnas_scale(sum, layer->multipliers[channel], layer->shifts[channel]) + layer->out_zero;
                out[channel] = memnas_clamp(sum, layer->least);
            }
        }
    }
}
