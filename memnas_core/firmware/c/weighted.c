/* A convolution with its ReLU: weights of one byte, a bias and a factor for each output channel. */
typedef struct {
    memnas_window window;
    int16_t in_zero, out_zero, least;
    const int8_t *weights, *shifts;
    const int32_t *biases, *multipliers;
} memnas_weighted;
