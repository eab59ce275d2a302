/* The largest value under a window, for each channel; what lies outside the image does not count. */
MEMNAS_KERNEL void memnas_max_pool(const memnas_window *w, const int8_t *in, int8_t *restrict out)
{
    for (int y = 0; y < w->out_height; y++) {
        const int top = y * w->stride_y - w->pad_y;
        const memnas_taps rows = memnas_inside(top, w->kernel_height, 1, w->in_height);
        for (int x = 0; x < w->out_width; x++, out += w->out_step) {
            const int left = x * w->stride_x - w->pad_x;
            const memnas_taps columns = memnas_inside(left, w->kernel_width, 1, w->in_width);
            for (int channel = 0; channel < w->out_channels; channel++) {
                int8_t largest = -128;
                for (int row = top + rows.begin; row < top + rows.end; row++) {
                    const int8_t *pixel = in + (row * w->in_width + left + columns.begin) * w->in_step + channel;
                    for (int column = columns.begin; column < columns.end; column++, pixel += w->in_step) {
                        largest = *pixel > largest ? *pixel : largest;
                    }
                }
                out[channel] = largest;
            }
        }
    }
}
