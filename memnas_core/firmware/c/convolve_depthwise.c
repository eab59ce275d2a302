/* A convolution of each channel by itself; weights have the order height, width, channel. */
MEMNAS_KERNEL void memnas_convolve_depthwise(const memnas_weighted *layer, const int8_t *in, int8_t *restrict out)
{
    const memnas_window *const w = &layer->window;
    const int channels = w->in_channels, kernel_width = w->kernel_width, zero = layer->in_zero;
    for (int y = 0; y < w->out_height; y++) {
        const int top = y * w->stride_y - w->pad_y;
        const memnas_taps rows = memnas_inside(top, w->kernel_height, w->dilation, w->in_height);
        for (int x = 0; x < w->out_width; x++, out += w->out_step) {
            const int left = x * w->stride_x - w->pad_x;
            const memnas_taps columns = memnas_inside(left, kernel_width, w->dilation, w->in_width);
            for (int channel = 0; channel < channels; channel++) {
                int32_t sum = layer->biases[channel];
                for (int row = rows.begin; row < rows.end; row++) {
                    const int8_t *pixel = in + channel
                        + ((top + row * w->dilation) * w->in_width + left + columns.begin * w->dilation) * w->in_step;
                    const int8_t *weight = layer->weights + (row * kernel_width + columns.begin) * channels + channel;
                    for (int column = columns.begin; column < columns.end; column++) {
                        sum += (*pixel - zero) * *weight;
                        pixel += w->dilation * w->in_step;
                        weight += channels;
                    }
                }
                sum = memnas_scale(sum, layer->multipliers[channel], layer->shifts[channel]) + layer->out_zero;
                out[channel] = memnas_clamp(sum, layer->least);
            }
        }
    }
}
