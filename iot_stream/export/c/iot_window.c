/* From readings to windows, as iot_stream/windows.py and hygiene.py cut them. */
#include <math.h>
#include <string.h>

#include "iot_inner.h"

#define LATEST (INT64_C(1) << 62) /* ns, the year 2116: no sum of times and periods overflows */

void iot_start(iot_stream *stream)
{
    memset(stream, 0, sizeof *stream);
    stream->last = -1;
    for (int i = 0; i < IOT_DERIVED; i++)
        iot_forget(iot_derivations + i, stream->memory + i);
    for (int i = 0; i < IOT_LIMITS; i++)
        stream->judged[i] = (iot_judgement){NAN, NAN, NAN, 0};
}

/* --- what cannot be true is missing --- */

static int out_of_bounds(const iot_limit *limit, int64_t time, float *x, iot_judgement *known)
{
    if (*x < limit->low || *x > limit->high)
        return 1;
    if (!isnan(*x)) {
        /* A second value beside a doubtful one makes the new level good. */
        if (fabs((double)*x - known->good) > limit->jump && !(fabs((double)*x - known->doubtful) <= limit->jump)) {
            known->doubtful = *x;
            return 1;
        }
        known->good = *x;
        known->doubtful = NAN;
    }
    if (limit->stuck && !isnan(*x)) {
        if ((double)*x != known->same) {
            known->same = *x;
            known->since = time;
        }
        return time - known->since > limit->stuck;
    }
    return 0;
}

static void judge(iot_stream *stream, int64_t time, float *row)
{
    for (int i = 0; i < IOT_CHANNELS; i++)
        for (int k = 0; k < IOT_ERROR_VALUES; k++)
            if (row[i] == iot_error_values[k])
                row[i] = NAN;
    for (int i = 0; i < IOT_LIMITS; i++) {
        float *x = row + iot_limits[i].channel;
        if (out_of_bounds(iot_limits + i, time, x, stream->judged + i))
            *x = NAN;
    }
    for (int i = 0; i < IOT_CHANNELS; i++)
        row[i] = isfinite(row[i]) ? row[i] + 0.0f : NAN; /* no zero below zero */
}

static int counts(const iot_stream *stream, int64_t time, const float *row)
{
    int known = 0;
    for (int i = 0; i < IOT_CHANNELS; i++) {
        if (isnan(row[i]) && iot_required[i])
            return 0;
        known += !isnan(row[i]);
    }
    /* Between readings on a line one has to be whole. */
    return time > stream->last && known >= (IOT_PERIOD && !IOT_HOLD ? IOT_CHANNELS : 1);
}

/* --- rows to windows --- */

static void begin_segment(iot_stream *stream)
{
    stream->due = IOT_LENGTH;
#if IOT_PERIOD
    /* On a grid windows begin at multiples of the hop since 1970. */
    stream->due += (uint32_t)((IOT_HOP - stream->grid % IOT_HOP) % IOT_HOP);
#endif
    stream->broken = 0;
}

static iot_result add_row(iot_stream *stream, int64_t time, double *columns, iot_on_window on_window, void *context)
{
    float logits[IOT_CLASSES], *to = stream->ring + stream->place * IOT_INPUTS;
    iot_result result;
    for (int i = 0; i < IOT_DERIVED; i++) {
        double value = iot_derive(iot_derivations + i, time, columns, stream->memory + i);
        columns[IOT_CHANNELS + i] = isfinite(value) ? value : NAN;
    }
    for (int i = 0; i < IOT_INPUTS; i++) {
        float value = (float)columns[iot_inputs[i]];
        to[i] = isfinite(value) ? value : NAN;
    }
    stream->place = (stream->place + 1) % IOT_LENGTH;
    if (stream->broken)
        begin_segment(stream);
    if (--stream->due)
        return IOT_OK;
    stream->due = IOT_HOP;
    result = iot_run_loaded(stream->ring, stream->place, logits);
    if (result == IOT_OK)
        on_window(time, logits, context);
    return result;
}

#if IOT_PERIOD
/* A channel at a point of the grid that lies between the last reading and this one. */
static double between(const iot_stream *stream, int channel, int64_t point, int64_t time, double value)
{
    double last = stream->last_row[channel];
    if (point == time)
        return value;
    if (IOT_HOLD)
        return last;
    return last + (double)(point - stream->last) / (double)(time - stream->last) * (value - last);
}

static iot_result resample(iot_stream *stream, int64_t time, const float *row, iot_on_window on_window, void *context)
{
    double values[IOT_CHANNELS], columns[IOT_CHANNELS + IOT_DERIVED];
    iot_result result = IOT_OK;
    if (stream->last < 0 || time - stream->last > IOT_GAP) {
        stream->grid = time / IOT_PERIOD + (time % IOT_PERIOD != 0);
        stream->broken = 1;
        for (int i = 0; i < IOT_CHANNELS; i++)
            stream->last_row[i] = NAN;
    }
    for (int i = 0; i < IOT_CHANNELS; i++) {
        if (!isnan(row[i]))
            stream->seen[i] = time;
        /* A dead channel is not held for ever. */
        values[i] = isnan(row[i]) && time - stream->seen[i] <= IOT_GAP ? stream->last_row[i] : (double)row[i];
    }
    for (; stream->grid * IOT_PERIOD <= time; stream->grid++) {
        int64_t point = stream->grid * IOT_PERIOD;
        iot_result one;
        for (int i = 0; i < IOT_CHANNELS; i++)
            columns[i] = between(stream, i, point, time, values[i]);
        one = add_row(stream, point, columns, on_window, context);
        result = one == IOT_OK ? result : one;
    }
    stream->last = time;
    for (int i = 0; i < IOT_CHANNELS; i++)
        stream->last_row[i] = values[i];
    return result;
}
#else
static iot_result as_it_comes(iot_stream *stream, int64_t time, const float *row, iot_on_window on_window,
                              void *context)
{
    double columns[IOT_CHANNELS + IOT_DERIVED];
    if (stream->last < 0 || (IOT_GAP && time - stream->last > IOT_GAP))
        stream->broken = 1;
    stream->last = time;
    for (int i = 0; i < IOT_CHANNELS; i++)
        columns[i] = row[i];
    return add_row(stream, time, columns, on_window, context);
}
#endif

iot_result iot_feed(iot_stream *stream, int64_t time, const float values[IOT_CHANNELS], iot_on_window on_window,
                    void *context)
{
    float row[IOT_CHANNELS];
    for (int i = 0; i < IOT_CHANNELS; i++)
        row[i] = values[i];
    if (time >= 0 && time <= LATEST)
        judge(stream, time, row);
    if (time > LATEST || !counts(stream, time, row)) {
        stream->dropped++;
        return IOT_OK;
    }
#if IOT_PERIOD
    return resample(stream, time, row, on_window, context);
#else
    return as_it_comes(stream, time, row, on_window, context);
#endif
}
