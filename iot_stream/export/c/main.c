/*
 * The whole of a device on a desk: weights from a file, readings from standard input, a line for each window.
 *
 *     student weights.int8 < readings.txt
 *
 * A reading is a line: time in ns since 1970, then its channels, `nan` where one is missing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iot_stream.h"

static uint8_t artifact[IOT_ARTIFACT];
static iot_stream stream;

/* Trusts the version that was exported and no other: a device asks its signed metadata here. */
static int trust(const uint8_t sha256[32], void *context)
{
    (void)context;
    return memcmp(sha256, iot_exported_sha256, 32) == 0;
}

static void say(int64_t end, const float logits[IOT_CLASSES], void *context)
{
    int best = 0;
    (void)context;
    for (int k = 1; k < IOT_CLASSES; k++)
        best = logits[k] > logits[best] ? k : best;
    printf("%lld %s", (long long)end, iot_classes[best]);
    for (int k = 0; k < IOT_CLASSES; k++)
        printf(" %.9g", (double)logits[k]);
    printf("\n");
}

static int read_reading(const char *line, int64_t *time, float values[IOT_CHANNELS])
{
    char *rest;
    *time = strtoll(line, &rest, 10);
    for (int i = 0; i < IOT_CHANNELS; i++) {
        const char *before = rest;
        values[i] = strtof(before, &rest);
        if (rest == before)
            return 0;
    }
    return 1;
}

int main(int count, char **arguments)
{
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    char line[64 + 32 * IOT_CHANNELS];
    size_t size;
    iot_result result;
    if (file == NULL) {
        fprintf(stderr, "usage: student weights.int8 < readings.txt\n");
        return 2;
    }
    size = fread(artifact, 1, sizeof artifact, file);
    fclose(file);
    result = iot_load(artifact, size, trust, NULL);
    if (result != IOT_OK) {
        fprintf(stderr, "weights refused: %d\n", (int)result);
        return 1;
    }
    iot_start(&stream);
    while (fgets(line, sizeof line, stdin)) {
        int64_t time;
        float values[IOT_CHANNELS];
        if (!read_reading(line, &time, values))
            fprintf(stderr, "not a reading: %s", line);
        else
            iot_feed(&stream, time, values, say, NULL);
    }
    return 0;
}
