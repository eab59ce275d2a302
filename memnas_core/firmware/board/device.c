/* The least firmware around a network: it classifies what lies in the network's memory, again and again. */
#include <stdint.h>

int RUN(const uint8_t *pixels, int8_t *scores);
uint8_t *IMAGE(void);

int main(void)
{
    for (;;) {
        int8_t scores[CLASSES];
        RUN(IMAGE(), scores);
    }
}
