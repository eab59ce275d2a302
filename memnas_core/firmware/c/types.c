/* A window that moves over the pixels of a tensor and writes another. Both have the order height, width, channels; a
   tensor's next pixel begins `step` bytes further on. */
typedef struct {
    int16_t in_height, in_width, in_channels, in_step;
    int16_t out_height, out_width, out_channels, out_step;
    int16_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation;
} memnas_window;

/* The part of a window that lies on the image: taps from `begin` to before `end`. */
typedef struct {
    int begin, end;
} memnas_taps;

static inline memnas_taps memnas_inside(int first, int taps, int dilation, int size)
{
    memnas_taps inside = {0, taps};
    while (first + inside.begin * dilation < 0) {
        inside.begin++;
    }
    while (first + (inside.end - 1) * dilation >= size) {
        inside.end--;
    }
    return inside;
}
