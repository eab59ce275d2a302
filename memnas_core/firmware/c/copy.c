/* Every stride-th pixel of every stride-th row. */
MEMNAS_KERNEL void memnas_copy(const memnas_window *w, const int8_t *restrict in, int8_t *restrict out)
{
    for (int y = 0; y < w->out_height; y++) {
        for (int x = 0; x < w->out_width; x++, out += w->out_step) {
            const int8_t *restrict pixel = in + (y * w->stride_y * w->in_width + x * w->stride_x) * w->in_step;
            for (int channel = 0; channel < w->out_channels; channel++) {
                out[channel] = pixel[channel];
            }
        }
    }
}
