/* What the tests ask of exported C: logits of many windows, and many artifacts tried one after another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iot_stream.h"

static uint8_t *read_all(FILE *file, size_t size)
{
    /* Of just this size, so that the sanitizer sees whoever reads beyond. */
    uint8_t *bytes = malloc(size ? size : 1);
    if (fread(bytes, 1, size, file) != size)
        exit(3);
    return bytes;
}

static int trust(const uint8_t sha256[32], void *context)
{
    return context == NULL || memcmp(sha256, context, 32) == 0;
}

static int predict(FILE *windows)
{
    float window[IOT_LENGTH * IOT_INPUTS], logits[IOT_CLASSES];
    while (fread(window, sizeof window, 1, windows) == 1) {
        if (iot_predict(window, logits) != IOT_OK)
            return 4;
        fwrite(logits, sizeof logits, 1, stdout);
    }
    return 0;
}

/* Each artifact: its size, its bytes. For each a line: the result, and what the model that then runs says. */
static int try_all(FILE *artifacts, const uint8_t *honest, size_t honest_size)
{
    float window[IOT_LENGTH * IOT_INPUTS], logits[IOT_CLASSES];
    uint32_t size;
    for (int i = 0; i < IOT_LENGTH * IOT_INPUTS; i++)
        window[i] = (float)(i % 7) / 3.0f - 1.0f;
    while (fread(&size, sizeof size, 1, artifacts) == 1) {
        uint8_t *bytes = read_all(artifacts, size);
        printf("%d", (int)iot_load(bytes, size, trust, NULL));
        if (iot_predict(window, logits) != IOT_OK)
            return 5;
        for (int k = 0; k < IOT_CLASSES; k++)
            printf(" %.9g", (double)logits[k]);
        printf("\n");
        if (iot_load(honest, honest_size, trust, NULL) != IOT_OK)
            return 6;
        free(bytes);
    }
    return 0;
}

int main(int count, char **arguments)
{
    uint8_t *honest, wrong[32] = {0};
    float logits[IOT_CLASSES], window[IOT_LENGTH * IOT_INPUTS] = {0};
    FILE *first = fopen(arguments[2], "rb"), *second = fopen(arguments[3], "rb");
    long size;
    int done;
    if (count != 4 || first == NULL || second == NULL)
        return 2;
    fseek(first, 0, SEEK_END);
    size = ftell(first);
    rewind(first);
    honest = read_all(first, (size_t)size);
    if (iot_predict(window, logits) != IOT_NO_MODEL || iot_load(honest, (size_t)size, trust, wrong) != IOT_UNTRUSTED ||
        iot_predict(window, logits) != IOT_NO_MODEL)
        return 7;
    uint8_t exported[32];
    memcpy(exported, iot_exported_sha256, 32);
    if (iot_load(honest, (size_t)size, trust, exported) != IOT_OK)
        return 8;
    done = strcmp(arguments[1], "predict") == 0 ? predict(second) : try_all(second, honest, (size_t)size);
    free(honest);
    fclose(first);
    fclose(second);
    return done;
}
