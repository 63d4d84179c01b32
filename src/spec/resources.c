/*
 * Resource limits. What the user typed becomes members of docker's HostConfig; those are checked as docker checks them,
 * and the OCI config's "linux.resources" is made of them and of nothing else, at create and again by update.
 */
#include "spec/spec_int.h"

#include <ctype.h>

#define MEMORY_MIN INT64_C(6291456)
#define NANO INT64_C(1000000000)
#define NANO_PERIOD INT64_C(100000) /* docker's, in microseconds */
enum { CPUSET_MAX = 8192, WEIGHT_MIN = 10, WEIGHT_MAX = 1000 };

void spec_resources_done(struct spec_resources *r) {
    struct strv *const lists[] = {&r->weight_device, &r->read_bps, &r->write_bps, &r->read_iops, &r->write_iops};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        strv_done(lists[i]);
    mem_set(&r->cpuset_cpus, NULL);
    mem_set(&r->cpuset_mems, NULL);
    mem_set(&r->cgroup_parent, NULL);
}

/* ---- grammars ---- */

/* Digits, with at most one point, into a number and the power of ten that divides it. */
static bool take_decimal(const char **s, __int128 *ret, int *ret_places) {
    size_t digits = 0, places = 0;
    bool point = false;
    *ret = 0;
    for (; isdigit((unsigned char)**s) || (**s == '.' && !point); (*s)++) {
        if (**s == '.') {
            point = true;
            continue;
        }
        *ret = *ret * 10 + (**s - '0');
        places += point;
        if (++digits > 18)
            return false;
    }
    *ret_places = (int)places;
    return digits > 0;
}

/* The part after "e" or "/", if there is one; false when it is wrong. */
static bool take_scale(const char *s, int *places, __int128 *divisor) {
    int64_t n;
    if (!*s)
        return true;
    if (*s == '/') {
        if (!str_to_i64(s + 1, 1, INT64_MAX, &n))
            return false;
        *divisor = n;
        return *places == 0;
    }
    bool minus = s[1] == '-';
    if ((*s != 'e' && *s != 'E') || !str_to_i64(s + 1 + (minus || s[1] == '+'), 0, 18, &n))
        return false;
    *places -= (int)(minus ? -n : n);
    return true;
}

struct err *spec_parse_cpus(const char *text, int64_t *ret) {
    const char *s = text + (*text == '-' || *text == '+');
    __int128 value, divisor = 1;
    int places;
    if (!take_decimal(&s, &value, &places) || !take_scale(s, &places, &divisor))
        return err_new(ERR_USAGE, "failed to parse %s as a rational number", text);
    value *= NANO;
    for (; places > 0; places--)
        divisor *= 10;
    for (; places < 0 && value <= INT64_MAX; places++)
        value *= 10;
    if (value % divisor)
        return err_new(ERR_USAGE, "value is too precise");
    value /= divisor;
    if (value > INT64_MAX)
        return err_new(ERR_USAGE, "failed to parse %s as a rational number", text);
    *ret = *text == '-' ? -(int64_t)value : (int64_t)value;
    return NULL;
}

struct err *spec_parse_swap(const char *text, int64_t *ret) {
    if (!str_eq(text, "-1"))
        return spec_parse_bytes(text, ret);
    *ret = -1;
    return NULL;
}

/* "0-3,7" into a set; false for what is none. docker's rule: leading zeros and repetitions are fine. */
static bool parse_set(const char *text, bool set[CPUSET_MAX]) {
    autostrv struct strv parts = {0};
    strv_split(&parts, text, ',');
    for (size_t i = 0; i < parts.n; i++) {
        char *dash = strchr(parts.v[i], '-');
        int64_t from, to;
        if (dash)
            *dash = '\0';
        if (!str_to_i64(parts.v[i], 0, CPUSET_MAX - 1, &from) ||
            !str_to_i64(dash ? dash + 1 : parts.v[i], from, CPUSET_MAX - 1, &to))
            return false;
        for (int64_t n = from; n <= to; n++)
            set[n] = true;
    }
    return true;
}

static int64_t count_set(const char *text) {
    bool set[CPUSET_MAX] = {false};
    int64_t n = 0;
    if (!text || !parse_set(text, set))
        return 0;
    for (size_t i = 0; i < CPUSET_MAX; i++)
        n += set[i];
    return n;
}

/* "/dev/sda:1mb". The messages are docker's. */
struct device_option {
    const char *flag;
    const char *key;    /* HostConfig's */
    const char *number; /* "Rate" or "Weight" */
    const char *oci, *oci_number;
    size_t offset;
    bool bytes;
};
#define DEVICE(member) offsetof(struct spec_resources, member)
static const struct device_option device_options[] = {
    {"blkio-weight-device", "BlkioWeightDevice", "Weight", "weightDevice", "weight", DEVICE(weight_device), false},
    {"device-read-bps", "BlkioDeviceReadBps", "Rate", "throttleReadBpsDevice", "rate", DEVICE(read_bps), true},
    {"device-write-bps", "BlkioDeviceWriteBps", "Rate", "throttleWriteBpsDevice", "rate", DEVICE(write_bps), true},
    {"device-read-iops", "BlkioDeviceReadIOps", "Rate", "throttleReadIOPSDevice", "rate", DEVICE(read_iops), false},
    {"device-write-iops", "BlkioDeviceWriteIOps", "Rate", "throttleWriteIOPSDevice", "rate", DEVICE(write_iops), false},
};

static struct err *bad_number(const struct device_option *d, const char *text) {
    if (str_eq(d->number, "Weight"))
        return err_new(ERR_USAGE, "invalid weight for device: %s", text);
    return err_new(ERR_USAGE,
                   "invalid rate for device: %s. The correct format is <device-path>:<number>%s. Number must be a "
                   "positive integer%s",
                   text, d->bytes ? "[<unit>]" : "", d->bytes ? ". Unit is optional and can be kb, mb, or gb" : "");
}

static struct err *parse_device(const struct device_option *d, const char *text, char **ret_path, int64_t *ret) {
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || strchr(text, ':') != colon)
        return err_new(ERR_USAGE, "bad format: %s", text);
    if (!str_starts(text, "/dev/"))
        return err_new(ERR_USAGE, "bad format for device path: %s", text);
    if (d->bytes) {
        autoerr bad = spec_parse_bytes(colon + 1, ret);
        if (bad)
            return bad_number(d, text);
    } else {
        bool weight = str_eq(d->number, "Weight");
        if (!str_to_i64(colon + 1, 0, weight ? WEIGHT_MAX : INT64_MAX, ret) || (weight && *ret && *ret < WEIGHT_MIN))
            return bad_number(d, text);
    }
    *ret_path = mem_dupn(text, (size_t)(colon - text));
    return NULL;
}

/* One of the lists, as HostConfig has it. */
static struct err *device_list(const struct device_option *d, const struct strv *texts, struct json **ret) {
    autojson list = json_array();
    for (size_t i = 0; i < texts->n; i++) {
        autofree char *path = NULL;
        int64_t value;
        struct err *bad = parse_device(d, texts->v[i], &path, &value);
        if (bad)
            return err_wrap(bad, "invalid argument \"%s\" for \"--%s\" flag", texts->v[i], d->flag);
        struct json *it = json_object();
        json_set_str(it, "Path", path);
        json_set_int(it, d->number, value);
        json_push(list, it);
    }
    *ret = take_ptr(&list);
    return NULL;
}

void spec_resources_devices(const struct json *host_config, struct strv *out) {
    for (size_t i = 0; i < ARRAY_LEN(device_options); i++)
        JSON_EACH(it, json_get(host_config, device_options[i].key)) {
            const char *path = json_str_value(json_get(it, "Path"));
            if (path && !strv_has(out, path))
                strv_push(out, path);
        }
}

/* ---- what was typed → HostConfig ---- */

static void set_if(struct json *h, const char *key, int64_t value) {
    if (value)
        json_set_int(h, key, value);
}

static void set_text(struct json *h, const char *key, const char *value) {
    if (value && *value)
        json_set_str(h, key, value);
}

struct err *spec_resources_patch(const struct spec_resources *r, struct json *h) {
    set_if(h, "CpuShares", r->cpu_shares);
    set_if(h, "Memory", r->memory);
    set_if(h, "NanoCpus", r->nano_cpus);
    set_text(h, "CgroupParent", r->cgroup_parent);
    set_if(h, "BlkioWeight", r->blkio_weight);
    set_if(h, "CpuPeriod", r->cpu_period);
    set_if(h, "CpuQuota", r->cpu_quota);
    set_text(h, "CpusetCpus", r->cpuset_cpus);
    set_text(h, "CpusetMems", r->cpuset_mems);
    set_if(h, "MemoryReservation", r->memory_reservation);
    set_if(h, "MemorySwap", r->memory_swap);
    if (r->memory_swappiness_set && r->memory_swappiness != -1)
        json_set_int(h, "MemorySwappiness", r->memory_swappiness);
    if (r->oom_kill_disable)
        json_set_bool(h, "OomKillDisable", true);
    if (r->pids_limit_set) /* 0 and negative numbers: none */
        json_set_int(h, "PidsLimit", r->pids_limit > 0 ? r->pids_limit : 0);
    for (size_t i = 0; i < ARRAY_LEN(device_options); i++) {
        const struct strv *texts = (const void *)((const char *)r + device_options[i].offset);
        struct json *list = NULL;
        if (!texts->n)
            continue;
        TRY(device_list(&device_options[i], texts, &list));
        json_set(h, device_options[i].key, list);
    }
    return NULL;
}

/* ---- checks ---- */

static int64_t number(const struct json *h, const char *key) { return json_int_value(json_get(h, key), 0); }

static const char *text(const struct json *h, const char *key) {
    const char *s = json_str_value(json_get(h, key));
    return s ? s : "";
}

static struct err *check_memory(const struct json *h, struct strv *warnings) {
    int64_t memory = number(h, "Memory"), swap = number(h, "MemorySwap"), low = number(h, "MemoryReservation");
    if (memory && memory < MEMORY_MIN)
        return err_new(ERR_USAGE, "Minimum memory limit allowed is 6MB");
    if (memory > 0 && swap > 0 && swap < memory)
        return err_new(ERR_USAGE, "Minimum memoryswap limit should be larger than memory limit, see usage");
    if (memory == 0 && swap > 0)
        return err_new(ERR_USAGE, "You should always set the Memory limit when using Memoryswap limit, see usage");
    if (low && low < MEMORY_MIN)
        return err_new(ERR_USAGE, "Minimum memory reservation allowed is 6MB");
    if (memory > 0 && memory < low)
        return err_new(ERR_USAGE, "Minimum memory limit can not be less than memory reservation limit, see usage");
    if (memory == 0 && json_bool_value(json_get(h, "OomKillDisable"), false))
        strv_push(warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in "
                            "the system running out of resources.");
    return NULL;
}

static struct err *check_swappiness(const struct json *h) {
    int64_t s = number(h, "MemorySwappiness");
    if (s < 0 || s > 100)
        return err_new(ERR_USAGE, "invalid value: %lld. Valid memory swappiness range is 0-100", (long long)s);
    return NULL;
}

static struct err *check_cpu(const struct json *h, const struct spec_machine *m) {
    int64_t nano = number(h, "NanoCpus"), period = number(h, "CpuPeriod"), quota = number(h, "CpuQuota");
    int64_t cpus = count_set(m->cpus);
    if (nano > 0 && period)
        return err_new(ERR_USAGE, "Conflicting options: Nano CPUs and CPU Period cannot both be set.");
    if (nano > 0 && quota)
        return err_new(ERR_USAGE, "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
    if (nano && (nano < NANO / 100 || (cpus && nano > cpus * NANO)))
        return err_new(ERR_USAGE, "range of CPUs is from 0.01 to %lld.00, as there are only %lld CPUs available",
                       (long long)cpus, (long long)cpus);
    if (number(h, "CpuShares") < 0)
        return err_new(ERR_USAGE, "invalid CPU shares (%lld): value must be a positive integer",
                       (long long)number(h, "CpuShares"));
    if (period && (period < 1000 || period > 1000000))
        return err_new(ERR_USAGE,
                       "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    if (quota > 0 && quota < 1000)
        return err_new(ERR_USAGE, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    return NULL;
}

static struct err *check_set(const char *wanted, const char *have, const char *what, const char *whats) {
    bool want[CPUSET_MAX] = {false}, there[CPUSET_MAX] = {false};
    if (!*wanted)
        return NULL;
    if (!parse_set(wanted, want))
        return err_new(ERR_USAGE, "Invalid value %s for cpuset %s", wanted, what);
    if (!have || !parse_set(have, there))
        return NULL;
    for (size_t i = 0; i < CPUSET_MAX; i++)
        if (want[i] && !there[i])
            return err_new(ERR_USAGE, "Requested %s are not available - requested %s, available: %s", whats, wanted,
                           have);
    return NULL;
}

struct err *spec_resources_check(const struct json *h, const struct spec_machine *m, struct strv *warnings) {
    int64_t weight = number(h, "BlkioWeight");
    TRY(check_memory(h, warnings));
    TRY(check_swappiness(h));
    TRY(check_cpu(h, m));
    TRY(check_set(text(h, "CpusetCpus"), m->cpus, "cpus", "CPUs"));
    TRY(check_set(text(h, "CpusetMems"), m->mems, "mems", "memory nodes"));
    if (weight && (weight < WEIGHT_MIN || weight > WEIGHT_MAX))
        return err_new(ERR_USAGE, "Range of blkio weight is from 10 to 1000");
    if (spec_has_control(text(h, "CgroupParent")))
        return err_new(ERR_USAGE, "invalid value for --cgroup-parent: it holds control characters");
    return NULL;
}

/* ---- HostConfig → linux.resources ---- */

static void put(struct json *section, const char *key, int64_t value) {
    if (value)
        json_set_int(section, key, value);
}

static void put_section(struct json *resources, const char *key, struct json *take_section) {
    if (json_count(take_section))
        json_set(resources, key, take_section);
    else
        json_free(take_section);
}

static struct json *oci_memory(const struct json *h) {
    struct json *m = json_object();
    const struct json *swappiness = json_get(h, "MemorySwappiness");
    put(m, "limit", number(h, "Memory"));
    put(m, "reservation", number(h, "MemoryReservation"));
    put(m, "swap", number(h, "MemorySwap"));
    if (json_type(swappiness) == JSON_NUMBER)
        json_set_int(m, "swappiness", json_int_value(swappiness, 0));
    if (json_bool_value(json_get(h, "OomKillDisable"), false))
        json_set_bool(m, "disableOOMKiller", true);
    return m;
}

static struct json *oci_cpu(const struct json *h) {
    struct json *c = json_object();
    int64_t nano = number(h, "NanoCpus");
    put(c, "shares", number(h, "CpuShares"));
    put(c, "quota", nano ? nano * NANO_PERIOD / NANO : number(h, "CpuQuota"));
    put(c, "period", nano ? NANO_PERIOD : number(h, "CpuPeriod"));
    set_text(c, "cpus", text(h, "CpusetCpus"));
    set_text(c, "mems", text(h, "CpusetMems"));
    return c;
}

static void oci_devices(const struct device_option *d, const struct json *h, const struct strmap *numbers,
                        struct json *blkio) {
    struct json *list = json_array();
    JSON_EACH(it, json_get(h, d->key)) {
        const char *path = json_str_value(json_get(it, "Path")), *pair = path ? strmap_get(numbers, path) : NULL;
        const char *colon = pair ? strchr(pair, ':') : NULL;
        if (!colon)
            continue;
        struct json *device = json_object();
        json_set_int(device, "major", strtoll(pair, NULL, 10));
        json_set_int(device, "minor", strtoll(colon + 1, NULL, 10));
        json_set_int(device, d->oci_number, number(it, d->number));
        json_push(list, device);
    }
    put_section(blkio, d->oci, list);
}

struct json *spec_resources_oci(const struct json *h, const struct strmap *numbers) {
    struct json *r = json_object(), *pids = json_object(), *blkio = json_object();
    const struct json *limit = json_get(h, "PidsLimit");
    put_section(r, "memory", oci_memory(h));
    put_section(r, "cpu", oci_cpu(h));
    if (json_type(limit) == JSON_NUMBER)
        json_set_int(pids, "limit", json_int_value(limit, 0) > 0 ? json_int_value(limit, 0) : -1);
    put_section(r, "pids", pids);
    put(blkio, "weight", number(h, "BlkioWeight"));
    for (size_t i = 0; i < ARRAY_LEN(device_options); i++)
        oci_devices(&device_options[i], h, numbers, blkio);
    put_section(r, "blockIO", blkio);
    return r;
}

/* ---- at create ---- */

/* docker's: without a limit for both, it is twice that of memory. */
static void default_swap(struct json *h) {
    if (number(h, "Memory") > 0 && number(h, "MemorySwap") == 0)
        json_set_int(h, "MemorySwap", 2 * number(h, "Memory"));
}

struct err *spec_resolve_resources(struct spec_ctx *x) {
    const struct spec_machine unknown = {.cpus = NULL};
    x->limits = json_object();
    TRY(spec_resources_patch(&x->o->resources, x->limits));
    TRY(spec_resources_check(x->limits, x->in->machine ? x->in->machine : &unknown, x->warnings));
    default_swap(x->limits);
    return NULL;
}
