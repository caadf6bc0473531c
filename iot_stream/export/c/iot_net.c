/* The network: normalised window in, logits out, weights as the int8 that they travel as. */
#include <math.h>
#include <string.h>

#include "iot_inner.h"

#define FARTHEST 1e6f /* standard deviations from the mean: an absurd reading gives no NaN */

static float arena[IOT_ARENA];

float iot_float(const uint8_t *at)
{
    uint32_t bits = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float bias(const iot_weights *weights, const iot_step *step, uint32_t output)
{
    return step->bias == IOT_NONE ? 0.0f : iot_float(weights->values[step->bias] + 4 * output);
}

/*
 * What one tap of a kernel adds to every moment of an output. The inner loop runs along time, for kernels are
 * short; taps that lie in the padding add nothing.
 */
static void add_tap(const iot_step *step, const float *rows, uint32_t tap, const int8_t *own, float *to)
{
    uint32_t end = step->length + step->pad, stride = step->stride, inner = step->channels / step->groups;
    uint32_t first = tap < step->pad ? (step->pad - tap + stride - 1) / stride : 0;
    uint32_t until = tap < end ? (end - tap + stride - 1) / stride : 0;
    until = until < step->moments ? until : step->moments;
    for (uint32_t channel = 0; first < until && channel < inner; channel++) {
        uint32_t at = channel * step->length + first * stride + tap - step->pad;
        float weight = own[channel * step->kernel + tap];
        for (uint32_t moment = first; moment < until; moment++, at += stride)
            to[moment] += weight * rows[at];
    }
}

static void convolve(const iot_weights *weights, const iot_step *step)
{
    const int8_t *own = (const int8_t *)weights->values[step->weight];
    uint32_t inner = step->channels / step->groups, width = step->outputs / step->groups;
    float *to = arena + step->to;
    for (uint32_t output = 0; output < step->outputs; output++) {
        const float *rows = arena + step->from + output / width * inner * step->length;
        float scale = iot_float(weights->scales[step->weight] + 4 * output);
        float added = bias(weights, step, output);
        for (uint32_t moment = 0; moment < step->moments; moment++)
            to[moment] = 0.0f;
        for (uint32_t tap = 0; tap < step->kernel; tap++)
            add_tap(step, rows, tap, own, to);
        for (uint32_t moment = 0; moment < step->moments; moment++)
            to[moment] = to[moment] * scale + added;
        own += inner * step->kernel;
        to += step->moments;
    }
}

static void multiply(const iot_weights *weights, const iot_step *step)
{
    const int8_t *row = (const int8_t *)weights->values[step->weight];
    const float *from = arena + step->from;
    for (uint32_t output = 0; output < step->outputs; output++, row += step->channels) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < step->channels; i++)
            sum += from[i] * row[i];
        arena[step->to + output] =
            sum * iot_float(weights->scales[step->weight] + 4 * output) + bias(weights, step, output);
    }
}

static void average(const iot_step *step)
{
    for (uint32_t channel = 0; channel < step->channels; channel++) {
        const float *from = arena + step->from + channel * step->length;
        float sum = 0.0f;
        for (uint32_t moment = 0; moment < step->length; moment++)
            sum += from[moment];
        arena[step->to + channel] = sum / (float)step->length;
    }
}

/* (length, channels) → (channels, length) */
static void transpose(const iot_step *step)
{
    for (uint32_t channel = 0; channel < step->outputs; channel++)
        for (uint32_t moment = 0; moment < step->moments; moment++)
            arena[step->to + channel * step->moments + moment] =
                arena[step->from + moment * step->outputs + channel];
}

static void run(const iot_weights *weights, const iot_step *step)
{
    uint32_t size = step->outputs * step->moments;
    const float *from = arena + step->from, *with = arena + step->with;
    float *to = arena + step->to;
    switch (step->kind) {
    case IOT_CONV:
        convolve(weights, step);
        break;
    case IOT_LINEAR:
        multiply(weights, step);
        break;
    case IOT_RELU:
        for (uint32_t i = 0; i < size; i++)
            to[i] = from[i] < 0.0f ? 0.0f : from[i];
        break;
    case IOT_TANH:
        for (uint32_t i = 0; i < size; i++)
            to[i] = tanhf(from[i]);
        break;
    case IOT_ADD:
        for (uint32_t i = 0; i < size; i++)
            to[i] = from[i] + with[i];
        break;
    case IOT_MEAN:
        average(step);
        break;
    default:
        transpose(step);
    }
}

/* Missing values become 0, the mean, and with IOT_MASKS a channel of ones. */
static void normalise(const float *row, float *to)
{
    for (int i = 0; i < IOT_INPUTS; i++) {
        float scaled = (row[i] - iot_mean[i]) / iot_scale[i];
        scaled = scaled > FARTHEST ? FARTHEST : scaled < -FARTHEST ? -FARTHEST : scaled;
        to[i] = isnan(row[i]) ? 0.0f : scaled;
        if (IOT_MASKS)
            to[IOT_MASKS * IOT_INPUTS + i] = isnan(row[i]) ? 1.0f : 0.0f;
    }
}

void iot_run(const iot_weights *weights, const float *window, uint32_t oldest, float *logits)
{
    const uint32_t width = IOT_INPUTS * (1 + IOT_MASKS);
    for (uint32_t row = 0; row < IOT_LENGTH; row++)
        normalise(window + (oldest + row) % IOT_LENGTH * IOT_INPUTS, arena + IOT_INPUT_PLACE + row * width);
    for (int i = 0; i < IOT_STEPS; i++)
        run(weights, iot_steps + i);
    memcpy(logits, arena + IOT_OUTPUT_PLACE, IOT_CLASSES * sizeof *logits);
}
