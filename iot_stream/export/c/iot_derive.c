/* Derived channels, reading by reading, as iot_stream/derive.py has them; in double, as there. */
#include <math.h>

#include "iot_inner.h"

#define SECOND 1e9
#define DAY INT64_C(86400000000000)
#define PI 3.14159265358979323846

/* Where a function keeps what in its memory. */
enum { LAST, MEAN, VARIANCE };
enum { X1, X2, Y1, Y2, SQUARE, GAIN, BACK1, BACK2 };

void iot_forget(const iot_derivation *derivation, iot_memory *memory)
{
    *memory = (iot_memory){{0}, 0, 0};
    if (derivation->function == IOT_BAND)
        memory->time = -1;
    else
        memory->values[LAST] = memory->values[MEAN] = NAN;
}

#if IOT_USES_DIFF || IOT_USES_SPREAD
static double step_of(double x, iot_memory *memory)
{
    double last = memory->values[LAST];
    memory->values[LAST] = x;
    return isnan(last) ? 0.0 : x - last;
}
#endif

#if IOT_USES_EMA || IOT_USES_MINUS_EMA || IOT_USES_SPREAD
/* Exponential moving mean whose weights follow the true time between readings. */
static double moving_mean(int64_t time, double x, int64_t duration, iot_memory *memory)
{
    double *mean = &memory->values[MEAN];
    if (isnan(*mean))
        *mean = x;
    else
        *mean += -expm1((double)(memory->time - time) / (double)duration) * (x - *mean);
    memory->time = time;
    return *mean;
}
#endif

#if IOT_USES_DEVIATION
/* Welford's update with weights that decay (West 1979). */
static double deviation(int64_t time, double x, int64_t duration, iot_memory *memory)
{
    double *mean = &memory->values[MEAN], *variance = &memory->values[VARIANCE];
    if (isnan(*mean)) {
        *mean = x;
    } else {
        double weight = -expm1((double)(memory->time - time) / (double)duration);
        double step = weight * (x - *mean);
        *variance = (1 - weight) * (*variance + step * (x - *mean));
        *mean += step;
    }
    memory->time = time;
    return sqrt(*variance);
}
#endif

#if IOT_USES_BAND
/* Peak filter of the second order (Orfanidis 1996, 11.3) for the step between readings. */
static void tune(const iot_derivation *band, iot_memory *memory)
{
    double step = (double)memory->step / SECOND, *v = memory->values;
    v[GAIN] = v[BACK1] = v[BACK2] = 0.0;
    if (memory->step && band->high * step < 0.5) {
        double middle = 2 * PI * sqrt(band->low * band->high) * step;
        double gain = 1 / (1 + tan(PI * (band->high - band->low) * step));
        v[GAIN] = 1 - gain;
        v[BACK1] = -2 * gain * cos(middle);
        v[BACK2] = 2 * gain - 1;
    }
}

/* Over a hole it does not ring on. */
static double within(const iot_derivation *band, int64_t time, double x, iot_memory *memory)
{
    int64_t since = memory->time >= 0 ? time - memory->time : 0;
    double *v = memory->values, y;
    if (since && (!memory->step || since < memory->step)) {
        memory->step = since;
        tune(band, memory);
    }
    if (isnan(x) || since > memory->step)
        v[X1] = v[X2] = v[Y1] = v[Y2] = 0.0;
    memory->time = time;
    if (isnan(x))
        return x;
    y = v[GAIN] * (x - v[X2]) - v[BACK1] * v[Y1] - v[BACK2] * v[Y2];
    v[X2] = v[X1];
    v[X1] = x;
    v[Y2] = v[Y1];
    v[Y1] = y;
    v[SQUARE] += -expm1(-(double)memory->step / (double)band->duration) * (y * y - v[SQUARE]);
    return sqrt(v[SQUARE]);
}
#endif

/* A missing value gives a missing value, and leaves the memory as it was. */
double iot_derive(const iot_derivation *derivation, int64_t time, const double *columns, iot_memory *memory)
{
    double x = derivation->count ? columns[derivation->columns[0]] : 0.0;
    double y = derivation->count > 1 ? columns[derivation->columns[1]] : 0.0;
    (void)memory;
    (void)time;
#if IOT_USES_BAND
    if (derivation->function == IOT_BAND)
        return within(derivation, time, x, memory);
#endif
    if (isnan(x) || isnan(y))
        return NAN;
    switch (derivation->function) {
#if IOT_USES_LOG
    case IOT_LOG:
        return log(x > 1e-6 ? x : 1e-6);
#endif
#if IOT_USES_LOG1P
    case IOT_LOG1P:
        return x < 0 ? -log1p(-x) : log1p(x);
#endif
#if IOT_USES_DIFF
    case IOT_DIFF:
        return step_of(x, memory);
#endif
#if IOT_USES_ABSOLUTE_HUMIDITY
    case IOT_ABSOLUTE_HUMIDITY: /* Magnus formula, WMO-No. 8, annex 4.B */
        return 216.7 * (y / 100 * (6.112 * exp(17.62 * x / (243.12 + x)))) / (273.15 + x);
#endif
#if IOT_USES_EMA
    case IOT_EMA:
        return moving_mean(time, x, derivation->duration, memory);
#endif
#if IOT_USES_MINUS_EMA
    case IOT_MINUS_EMA:
        return x - moving_mean(time, x, derivation->duration, memory);
#endif
#if IOT_USES_SPREAD
    case IOT_SPREAD: {
        double step = step_of(x, memory);
        return sqrt(moving_mean(time, step * step, derivation->duration, memory));
    }
#endif
#if IOT_USES_DEVIATION
    case IOT_DEVIATION:
        return deviation(time, x, derivation->duration, memory);
#endif
#if IOT_USES_DAY_SINE
    case IOT_DAY_SINE:
        return sin(2 * PI * (double)(time % DAY) / (double)DAY);
#endif
#if IOT_USES_DAY_COSINE
    case IOT_DAY_COSINE:
        return cos(2 * PI * (double)(time % DAY) / (double)DAY);
#endif
#if IOT_USES_WEEKEND
    case IOT_WEEKEND: /* 1970 began on a Thursday */
        return (time / DAY + 3) % 7 >= 5 ? 1.0 : 0.0;
#endif
    default:
        return NAN;
    }
}
