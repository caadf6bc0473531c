/* What the runtime's files and the generated tables share; a program needs iot_stream.h alone. */
#ifndef IOT_INNER_H
#define IOT_INNER_H

#include "iot_stream.h"

#define IOT_NONE 0xFFFF

/* --- the network: iot_net.c runs the steps in order --- */

typedef enum { IOT_CONV, IOT_LINEAR, IOT_RELU, IOT_TANH, IOT_ADD, IOT_MEAN, IOT_TRANSPOSE } iot_kind;

/* Values are (channels, length); `from`, `with` and `to` are their places in the arena, in floats. */
typedef struct {
    uint8_t kind;
    uint32_t from, with, to;
    uint32_t channels, length;  /* of `from` */
    uint32_t outputs, moments;  /* of `to` */
    uint16_t weight, bias;      /* parameters, or IOT_NONE */
    uint16_t kernel, stride, pad, groups;
} iot_step;

extern const iot_step iot_steps[IOT_STEPS];

/* A matrix or more is int8 with a float32 scale for each of shape[0]; a vector is float32. */
typedef struct {
    const char *name;
    uint8_t dimensions;
    uint32_t shape[3];
} iot_parameter;

extern const iot_parameter iot_parameters[IOT_PARAMETERS];

/* Where parameters lie within an artifact. */
typedef struct {
    const uint8_t *values[IOT_PARAMETERS];
    const uint8_t *scales[IOT_PARAMETERS];
    const uint8_t *selftest;
} iot_weights;

/* A little-endian float32 at any address, on a machine of any endianness. */
float iot_float(const uint8_t *at);

iot_result iot_parse(const uint8_t *artifact, size_t size, iot_weights *weights);
/* Of a window whose oldest row is the one numbered `oldest`. */
void iot_run(const iot_weights *weights, const float *window, uint32_t oldest, float *logits);
/* By the weights that are loaded. */
iot_result iot_run_loaded(const float *window, uint32_t oldest, float *logits);

/* --- from readings to windows: iot_window.c and iot_derive.c --- */

extern const float iot_mean[IOT_INPUTS], iot_scale[IOT_INPUTS];
extern const float iot_golden[IOT_GOLDEN * IOT_LENGTH * IOT_INPUTS];
extern const uint16_t iot_inputs[IOT_INPUTS]; /* columns: channels, then what is derived */
extern const uint8_t iot_required[IOT_CHANNELS];
extern const float iot_error_values[IOT_ERROR_VALUES + 1];

/* What a channel's values can be; infinite where there is no bound, `stuck` 0 for ever. */
typedef struct {
    uint16_t channel;
    float low, high;
    double jump;
    int64_t stuck;
} iot_limit;

extern const iot_limit iot_limits[IOT_LIMITS + 1];

typedef enum {
    IOT_LOG,
    IOT_LOG1P,
    IOT_DIFF,
    IOT_ABSOLUTE_HUMIDITY,
    IOT_EMA,
    IOT_MINUS_EMA,
    IOT_SPREAD,
    IOT_DEVIATION,
    IOT_DAY_SINE,
    IOT_DAY_COSINE,
    IOT_WEEKEND,
    IOT_BAND
} iot_function;

typedef struct {
    uint8_t function;
    uint8_t count;       /* of columns */
    uint16_t columns[2];
    int64_t duration;    /* ns */
    double low, high;    /* Hz */
} iot_derivation;

extern const iot_derivation iot_derivations[IOT_DERIVED + 1];

void iot_forget(const iot_derivation *derivation, iot_memory *memory);
double iot_derive(const iot_derivation *derivation, int64_t time, const double *columns, iot_memory *memory);

#endif
