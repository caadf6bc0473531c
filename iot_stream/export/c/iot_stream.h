/*
 * A student of iot-stream in C99: readings in, logits out; no heap, no recursion, and buffers whose sizes
 * iot_model.h states. Do not compile with -ffast-math: missing values are NaN.
 *
 * One model a program, one iot_stream a sensor. Not for several threads, and not from interrupts.
 */
#ifndef IOT_STREAM_H
#define IOT_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "iot_model.h"

typedef enum {
    IOT_OK = 0,
    IOT_UNTRUSTED,    /* the platform's check said no */
    IOT_MALFORMED,    /* these bytes are no weights artifact */
    IOT_INCOMPATIBLE, /* they are weights of another student */
    IOT_SELF_TEST,    /* the golden windows do not give what they gave at release */
    IOT_NO_MODEL      /* no weights are loaded yet */
} iot_result;

/*
 * The platform's signature check: 1 if this SHA-256 is that of a release which it trusts. The digest stands in
 * the signed metadata (targets.json of the bundle, under weights.int8).
 */
typedef int (*iot_trust)(const uint8_t sha256[32], void *context);

/*
 * Verify an artifact, try it on the golden windows, and only then let it predict; whatever is refused, the
 * weights of before go on. The bytes are used where they lie: they must stay as long as they predict, so a
 * device keeps two places and loads into the one that is not in use.
 */
iot_result iot_load(const uint8_t *artifact, size_t size, iot_trust trust, void *context);

/* Logits of one raw window, rows in order of time, NaN where a value is missing. */
iot_result iot_predict(const float window[IOT_LENGTH * IOT_INPUTS], float logits[IOT_CLASSES]);

/* What is called with each complete window: the time (ns since 1970) of its last row, and its logits. */
typedef void (*iot_on_window)(int64_t end, const float logits[IOT_CLASSES], void *context);

/* What the stream of one sensor remembers. */
typedef struct {
    double values[8];
    int64_t time, step;
} iot_memory;

typedef struct {
    double good, doubtful, same;
    int64_t since;
} iot_judgement;

typedef struct {
    float ring[IOT_LENGTH * IOT_INPUTS]; /* the newest rows; `place` is that of the oldest */
    uint32_t place;
    uint32_t due; /* rows until the next window is complete */
    int64_t last; /* time of the last reading that counted, -1 before the first */
    double last_row[IOT_CHANNELS];
    int64_t seen[IOT_CHANNELS]; /* when each channel was last known */
    int64_t grid;               /* next point of the grid, in periods */
    int broken;                 /* a segment begins at the next point */
    uint32_t dropped;           /* readings that did not count */
    iot_memory memory[IOT_DERIVED + 1];
    iot_judgement judged[IOT_LIMITS + 1];
} iot_stream;

void iot_start(iot_stream *stream);

/*
 * One reading: its time in ns since 1970, its channels in the order of iot_model.h, NaN where one is missing.
 * IOT_NO_MODEL if a window was complete and nothing could be said of it.
 */
iot_result iot_feed(iot_stream *stream, int64_t time, const float values[IOT_CHANNELS], iot_on_window on_window,
                    void *context);

#endif
