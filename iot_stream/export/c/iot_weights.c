/*
 * The weights artifact (safetensors with int8 matrices) as it travels: checked byte by byte, used in place.
 * https://huggingface.co/docs/safetensors: the length of a header of JSON, the header, the data.
 */
#include <math.h>
#include <string.h>

#include "iot_inner.h"
#include "iot_sha256.h"

#define LARGEST 1e30f   /* of a scale */
#define TOLERANCE 1e-2f /* another processor may round otherwise; a wrong weight is far beyond this */
#define MOST 0x7FFFFFFF

static iot_weights loaded;
static int is_loaded;

typedef struct {
    const uint8_t *at, *end;
} cursor;

/* What stands in the header under one name. */
typedef struct {
    const uint8_t *name;
    size_t name_size;
    int is_int8;
    uint32_t dimensions, shape[3];
    uint32_t begin, end; /* in the data */
} entry;

static int take(cursor *c, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, text, size) != 0)
        return 0;
    c->at += size;
    return 1;
}

static int number(cursor *c, uint32_t *value)
{
    const uint8_t *first = c->at;
    *value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (c->at > first && *first == '0')
            return 0;
        if (*value > (MOST - 9) / 10)
            return 0;
        *value = *value * 10 + (uint32_t)(*c->at - '0');
    }
    return c->at > first;
}

/* `"name":{"dtype":"I8","shape":[4,2],"data_offsets":[0,8]}`, as every writer of safetensors puts it. */
static int parse_entry(cursor *c, entry *found)
{
    if (!take(c, "\""))
        return 0;
    found->name = c->at;
    while (c->at < c->end && *c->at != '"' && *c->at != '\\')
        c->at++;
    found->name_size = (size_t)(c->at - found->name);
    if (!take(c, "\":{\"dtype\":\""))
        return 0;
    found->is_int8 = take(c, "I8");
    if ((!found->is_int8 && !take(c, "F32")) || !take(c, "\",\"shape\":["))
        return 0;
    for (found->dimensions = 0; found->dimensions < 3; found->dimensions++) {
        if (found->dimensions && !take(c, ","))
            break;
        if (!number(c, &found->shape[found->dimensions]))
            return 0;
    }
    return take(c, "],\"data_offsets\":[") && number(c, &found->begin) && take(c, ",") &&
           number(c, &found->end) && take(c, "]}");
}

static int has_name(const entry *found, const char *name, const char *suffix)
{
    size_t size = strlen(name), more = strlen(suffix);
    return found->name_size == size + more && memcmp(found->name, name, size) == 0 &&
           memcmp(found->name + size, suffix, more) == 0;
}

static int has_shape(const entry *found, int is_int8, uint32_t dimensions, const uint32_t *shape)
{
    uint32_t size = is_int8 ? 1 : 4;
    if (found->is_int8 != is_int8 || found->dimensions != dimensions)
        return 0;
    for (uint32_t i = 0; i < dimensions; i++) {
        if (found->shape[i] != shape[i])
            return 0;
        size *= shape[i]; /* sizes of our own student: they do not overflow */
    }
    return found->end >= found->begin && found->end - found->begin == size;
}

static int all_within(const uint8_t *floats, uint32_t count, float most)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(fabsf(iot_float(floats + 4 * i)) <= most)) /* nor NaN */
            return 0;
    return 1;
}

/* The place that an entry fills in `weights`; NULL if it is none of this student's, or has another shape. */
static const uint8_t **place_of(const entry *found, iot_weights *weights)
{
    static const uint32_t selftest[2] = {IOT_GOLDEN, IOT_CLASSES};
    for (int i = 0; i < IOT_PARAMETERS; i++) {
        const iot_parameter *own = iot_parameters + i;
        if (has_name(found, own->name, ""))
            return has_shape(found, own->dimensions > 1, own->dimensions, own->shape) ? &weights->values[i] : NULL;
        if (own->dimensions > 1 && has_name(found, own->name, ":scale"))
            return has_shape(found, 0, 1, own->shape) ? &weights->scales[i] : NULL;
    }
    return has_name(found, "selftest", "") && has_shape(found, 0, 2, selftest) ? &weights->selftest : NULL;
}

/* With exactly as many entries as there are places, each filled once, none is missing. */
static iot_result parse_header(cursor *c, const uint8_t *data, size_t size, iot_weights *weights)
{
    uint32_t begins[IOT_ENTRIES], ends[IOT_ENTRIES], sum = 0;
    for (int count = 0; count < IOT_ENTRIES; count++) {
        entry found;
        const uint8_t **place;
        if (!take(c, count ? "," : "{"))
            return IOT_MALFORMED;
        if (!parse_entry(c, &found) || found.end > size)
            return IOT_MALFORMED;
        place = place_of(&found, weights);
        if (place == NULL || *place != NULL)
            return IOT_INCOMPATIBLE;
        for (int i = 0; i < count; i++)
            if (found.begin < ends[i] && begins[i] < found.end)
                return IOT_MALFORMED;
        if (!found.is_int8 && place != &weights->selftest &&
            !all_within(data + found.begin, (found.end - found.begin) / 4, LARGEST))
            return IOT_MALFORMED;
        begins[count] = found.begin;
        ends[count] = found.end;
        sum += found.end - found.begin;
        *place = data + found.begin;
    }
    if (!take(c, "}"))
        return IOT_MALFORMED;
    while (take(c, " "))
        ;
    return c->at == c->end && sum == size ? IOT_OK : IOT_MALFORMED;
}

iot_result iot_parse(const uint8_t *artifact, size_t size, iot_weights *weights)
{
    uint64_t header = 0;
    cursor c;
    *weights = (iot_weights){0};
    if (size < 8 || size > MOST)
        return IOT_MALFORMED;
    for (int i = 0; i < 8; i++)
        header |= (uint64_t)artifact[i] << 8 * i;
    if (header > size - 8)
        return IOT_MALFORMED;
    c.at = artifact + 8;
    c.end = c.at + header;
    return parse_header(&c, c.end, size - 8 - (size_t)header, weights);
}

static int passes_self_test(const iot_weights *weights)
{
    float logits[IOT_CLASSES];
    for (int i = 0; i < IOT_GOLDEN; i++) {
        iot_run(weights, iot_golden + i * IOT_LENGTH * IOT_INPUTS, 0, logits);
        for (int k = 0; k < IOT_CLASSES; k++) {
            float wanted = iot_float(weights->selftest + 4 * (i * IOT_CLASSES + k));
            if (!(fabsf(logits[k] - wanted) <= TOLERANCE * (1.0f + fabsf(wanted))))
                return 0;
        }
    }
    return 1;
}

iot_result iot_load(const uint8_t *artifact, size_t size, iot_trust trust, void *context)
{
    uint8_t digest[32];
    iot_weights candidate;
    iot_result parsed;
    iot_sha256(artifact, size, digest);
    if (!trust(digest, context))
        return IOT_UNTRUSTED;
    parsed = iot_parse(artifact, size, &candidate);
    if (parsed != IOT_OK)
        return parsed;
    if (!passes_self_test(&candidate))
        return IOT_SELF_TEST;
    loaded = candidate;
    is_loaded = 1;
    return IOT_OK;
}

iot_result iot_run_loaded(const float *window, uint32_t oldest, float *logits)
{
    if (!is_loaded)
        return IOT_NO_MODEL;
    iot_run(&loaded, window, oldest, logits);
    return IOT_OK;
}

iot_result iot_predict(const float window[IOT_LENGTH * IOT_INPUTS], float logits[IOT_CLASSES])
{
    return iot_run_loaded(window, 0, logits);
}
