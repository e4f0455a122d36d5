/* A programmable libnvidia-ml.so.1 for tests. It reads one JSON file (path in NVML_SIM_STATE) again whenever that file
 * changes, so that a running process sees a fault injected meanwhile. See README.md in this folder for the state.
 *
 * The signatures follow what nvidia-ml-py calls; names it may ask for and that are not here come from stubs.c, which
 * build.py generates, and answer "not supported", as a driver without the feature does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int rc;
#define OK 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define DRIVER_NOT_LOADED 9
#define TIMEOUT 10
#define GPU_IS_LOST 15
#define VERSION_MISMATCH 25
#define DEVICES_MAX 64
#define STATE_BYTES_MAX 16000000u
#define NO_DEVICE (-1)

/* --- the state file: looked up by path in its text, no tree is built ------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *text; /* the whole file, ended with 0 */
static struct timespec text_time;
static off_t text_size;
static int scripts; /* entries of the script */
static int users; /* how often init was called */
static char handles[DEVICES_MAX]; /* the address is the handle */

static const char *blank(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') p++;
    return p;
}

static const char *skip_string(const char *p) {
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1]) p++;
    return *p ? p + 1 : p;
}

static const char *skip(const char *p) { /* past one value */
    p = blank(p);
    if (*p == '"') return skip_string(p);
    if (*p == '{' || *p == '[') {
        int depth = 0;
        for (; *p; p++) {
            if (*p == '"') { p = skip_string(p) - 1; continue; }
            if (*p == '{' || *p == '[') depth++;
            if (*p == '}' || *p == ']') { if (--depth == 0) return p + 1; }
        }
        return p;
    }
    while (*p && !strchr(",]} \n\t\r", *p)) p++;
    return p;
}

static const char *member(const char *p, const char *key, size_t length) {
    if (!p) return NULL;
    p = blank(p);
    if (*p == '[') {
        long wanted = strtol(key, NULL, 10);
        for (p = blank(p + 1); *p && *p != ']'; p = blank(p)) {
            if (wanted-- == 0) return p;
            p = blank(skip(p));
            if (*p == ',') p = blank(p + 1);
        }
        return NULL;
    }
    if (*p != '{') return NULL;
    for (p = blank(p + 1); *p == '"';) {
        const char *name = p + 1, *end = skip_string(p);
        p = blank(end);
        if (*p == ':') p = blank(p + 1);
        if ((size_t)(end - 1 - name) == length && !strncmp(name, key, length)) return p;
        p = blank(skip(p));
        if (*p == ',') p = blank(p + 1);
    }
    return NULL;
}

static const char *walk(const char *p, const char *path) {
    while (p && *path) {
        size_t length = strcspn(path, "/");
        p = member(p, path, length);
        path += length + (path[length] == '/');
    }
    return p;
}

static void reload(void) { /* with the lock held */
    const char *path = getenv("NVML_SIM_STATE");
    struct stat now;
    if (!path) { free(text); text = NULL; return; } /* no state: no driver */
    if (stat(path, &now)) return;
    if (text && now.st_size == text_size && !memcmp(&now.st_mtim, &text_time, sizeof text_time)) return;
    int file = open(path, O_RDONLY);
    if (file < 0) return;
    size_t size = now.st_size > 0 ? (size_t)now.st_size : 0;
    if (size > STATE_BYTES_MAX) size = STATE_BYTES_MAX; /* some compilers cannot see that a file's size is none below 0 */
    char *fresh = calloc(1, size + 1);
    ssize_t got = fresh ? read(file, fresh, size) : -1;
    close(file);
    if (got < 0) { free(fresh); return; }
    free(text);
    text = fresh, text_time = now.st_mtim, text_size = now.st_size;
    for (scripts = 0; scripts < 64; scripts++) {
        char at[32];
        snprintf(at, sizeof at, "script/%d", scripts);
        if (!walk(text, at)) break;
    }
}

static double plain_number(const char *p) {
    if (!p) return 0;
    if (*p == 't') return 1;
    if (*p == 'f' || *p == 'n') return 0;
    return strtod(p, NULL);
}

static double elapsed_s(void) { /* since the state's started_s, so that all processes agree */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double start = plain_number(walk(text, "started_s"));
    return start > 0 ? now.tv_sec + now.tv_nsec / 1e9 - start : 0;
}

static const char *lookup(const char *path) { /* the last script entry whose time has come wins */
    for (int last = scripts - 1; last >= 0; last--) {
        char at[32];
        snprintf(at, sizeof at, "script/%d", last);
        const char *entry = walk(text, at);
        if (!entry || plain_number(walk(entry, "after_s")) > elapsed_s()) continue;
        const char *found = walk(walk(entry, "set"), path);
        if (found) return found;
    }
    return walk(text, path);
}

static const char *of(int device, const char *format, ...) {
    char key[200], path[260];
    va_list words;
    va_start(words, format);
    vsnprintf(key, sizeof key, format, words);
    va_end(words);
    const char *found = NULL;
    if (device != NO_DEVICE) {
        snprintf(path, sizeof path, "devices/%d/%s", device, key);
        found = lookup(path);
        if (!found) { snprintf(path, sizeof path, "defaults/%s", key); found = lookup(path); }
    }
    return found;
}

static double number(const char *p) { /* a number, or one that grows, or one that steps through values */
    if (!p || *p != '{') return plain_number(p);
    const char *values = walk(p, "values");
    if (values) {
        double step = plain_number(walk(p, "step_s"));
        long index = step > 0 ? (long)(elapsed_s() / step) : 0;
        const char *found = NULL;
        char at[24];
        for (; index >= 0 && !found; index--) {
            snprintf(at, sizeof at, "%ld", index > 4096 ? 4096 : index);
            found = walk(values, at);
        }
        return plain_number(found);
    }
    return plain_number(walk(p, "base")) + plain_number(walk(p, "rate_per_s")) * elapsed_s();
}

static void copy_string(const char *p, char *out, u32 size) {
    u32 n = 0;
    if (*p == '"')
        for (p++; *p && *p != '"' && n + 1 < size; p++) {
            if (*p == '\\' && p[1]) p++;
            out[n++] = *p;
        }
    out[n] = 0;
}

/* --- entering a function: log, forced return, delay, hang, crash ------------------------------------------------ */

static int index_of(void *handle) {
    char *place = handle;
    return place >= handles && place < handles + DEVICES_MAX ? (int)(place - handles) : -2;
}

static void write_log(const char *function, int device) {
    const char *place = lookup("call_log");
    char path[512], line[256];
    if (!place || *place != '"') return;
    copy_string(place, path, sizeof path);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (file < 0) return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int n = snprintf(line, sizeof line, "%lld %s %d\n", (long long)now.tv_sec * 1000000000LL + now.tv_nsec, function, device);
    if (write(file, line, n) < 0) { /* a full disk must not change the answer */ }
    close(file);
}

static const char *ordered(const char *what, const char *function, int device) {
    char path[200];
    const char *found = of(device, "%s/%s", what, function);
    snprintf(path, sizeof path, "%s/%s", what, function);
    return found ? found : lookup(path);
}

static rc enter(const char *function, int device) {
    pthread_mutex_lock(&lock);
    reload();
    write_log(function, device);
    double wait_ms = number(ordered("delays_ms", function, device));
    int hang = plain_number(ordered("hang", function, device)) != 0;
    int crash = plain_number(ordered("crash", function, device)) != 0;
    int forced = (int)number(ordered("returns", function, device));
    int lost = device >= 0 && plain_number(of(device, "lost")) != 0;
    int starting = !strncmp(function, "nvmlInit", 8) || !strcmp(function, "nvmlErrorString");
    rc code = forced ? forced : lost ? GPU_IS_LOST : !users && !starting ? UNINITIALIZED : OK;
    if (device == -2) code = INVALID_ARGUMENT;
    pthread_mutex_unlock(&lock);
    if (crash) raise(SIGSEGV);
    while (hang) pause();
    if (wait_ms > 0) usleep((useconds_t)(wait_ms * 1000));
    return code;
}

#define BEGIN(handle) \
    int d = index_of(handle); \
    rc code = enter(__func__, d); \
    if (code) return code; \
    pthread_mutex_lock(&lock);
#define END(result) do { rc ended = (result); pthread_mutex_unlock(&lock); return ended; } while (0)

static rc put_u32(const char *p, u32 *out) {
    if (!p) return NOT_SUPPORTED;
    *out = (u32)(long long)number(p);
    return OK;
}

static rc put_u64(const char *p, u64 *out) {
    if (!p) return NOT_SUPPORTED;
    *out = (u64)number(p);
    return OK;
}

static rc put_text(const char *p, char *out, u32 size) {
    if (!p) return NOT_SUPPORTED;
    copy_string(p, out, size);
    return OK;
}

#define GET_U32(function, key) rc function(void *h, u32 *out) { BEGIN(h) END(put_u32(of(d, key), out)); }
#define GET_U64(function, key) rc function(void *h, u64 *out) { BEGIN(h) END(put_u64(of(d, key), out)); }
#define GET_TEXT(function, key) rc function(void *h, char *out, u32 n) { BEGIN(h) END(put_text(of(d, key), out, n)); }
#define GET_PAIR(function, first, second) \
    rc function(void *h, u32 *a, u32 *b) { BEGIN(h) rc r = put_u32(of(d, first), a); END(r ? r : put_u32(of(d, second), b)); }

/* --- life and system ----------------------------------------------------------------------------------------- */

static rc begin(const char *function) {
    rc code = enter(function, NO_DEVICE);
    if (code) return code;
    if (!text) return DRIVER_NOT_LOADED;
    pthread_mutex_lock(&lock);
    users++;
    pthread_mutex_unlock(&lock);
    return OK;
}
rc nvmlInit(void) { return begin(__func__); }
rc nvmlInit_v2(void) { return begin(__func__); }
rc nvmlInitWithFlags(u32 flags) { (void)flags; return begin(__func__); }
rc nvmlShutdown(void) {
    rc code = enter(__func__, NO_DEVICE);
    if (!code) { pthread_mutex_lock(&lock); users--; pthread_mutex_unlock(&lock); }
    return code;
}
const char *nvmlErrorString(rc code) {
    static __thread char words[32];
    snprintf(words, sizeof words, "simulated error %d", code);
    return words;
}

static rc system_text(const char *function, const char *path, char *out, u32 size) {
    rc code = enter(function, NO_DEVICE);
    if (code) return code;
    pthread_mutex_lock(&lock);
    END(put_text(lookup(path), out, size));
}
rc nvmlSystemGetDriverVersion(char *out, u32 n) { return system_text(__func__, "system/driver", out, n); }
rc nvmlSystemGetNVMLVersion(char *out, u32 n) { return system_text(__func__, "system/nvml", out, n); }
static rc cuda(const char *function, int *out) {
    rc code = enter(function, NO_DEVICE);
    if (code) return code;
    pthread_mutex_lock(&lock);
    END(put_u32(lookup("system/cuda"), (u32 *)out));
}
rc nvmlSystemGetCudaDriverVersion(int *out) { return cuda(__func__, out); }
rc nvmlSystemGetCudaDriverVersion_v2(int *out) { return cuda(__func__, out); }
rc nvmlSystemGetProcessName(u32 pid, char *out, u32 n) {
    char path[64];
    snprintf(path, sizeof path, "process_names/%u", pid);
    rc code = system_text(__func__, path, out, n);
    return code == NOT_SUPPORTED ? NOT_FOUND : code;
}

/* --- which devices ------------------------------------------------------------------------------------------- */

static int device_count(void) {
    int n = 0;
    char at[32];
    for (; n < DEVICES_MAX; n++) {
        snprintf(at, sizeof at, "devices/%d", n);
        if (!walk(text, at)) break;
    }
    return n;
}
static rc count(const char *function, u32 *out) {
    rc code = enter(function, NO_DEVICE);
    if (code) return code;
    pthread_mutex_lock(&lock);
    *out = device_count();
    END(OK);
}
rc nvmlDeviceGetCount(u32 *out) { return count(__func__, out); }
rc nvmlDeviceGetCount_v2(u32 *out) { return count(__func__, out); }
rc nvmlDeviceGetHandleByIndex_v2(u32 index, void **out) {
    if (index >= DEVICES_MAX) return INVALID_ARGUMENT;
    rc code = enter(__func__, (int)index);
    if (code) return code;
    pthread_mutex_lock(&lock);
    if ((int)index >= device_count()) END(INVALID_ARGUMENT);
    *out = handles + index;
    END(OK);
}
rc nvmlDeviceGetHandleByIndex(u32 index, void **out) { return nvmlDeviceGetHandleByIndex_v2(index, out); }
static rc by_text(const char *function, const char *key, const char *wanted, void **out) {
    rc code = enter(function, NO_DEVICE);
    if (code) return code;
    pthread_mutex_lock(&lock);
    for (int d = 0; d < device_count(); d++) {
        char found[96];
        const char *p = of(d, "%s", key);
        if (p) copy_string(p, found, sizeof found);
        if (p && !strcmp(found, wanted)) {
            *out = handles + d;
            END(plain_number(of(d, "lost")) ? GPU_IS_LOST : OK);
        }
    }
    END(NOT_FOUND);
}
rc nvmlDeviceGetHandleByUUID(const char *wanted, void **out) { return by_text(__func__, "uuid", wanted, out); }
rc nvmlDeviceGetHandleByPciBusId_v2(const char *wanted, void **out) { return by_text(__func__, "pci/bus_id", wanted, out); }
rc nvmlDeviceGetHandleBySerial(const char *wanted, void **out) { return by_text(__func__, "serial", wanted, out); }
rc nvmlDeviceGetIndex(void *h, u32 *out) { BEGIN(h) *out = d; END(OK); }
GET_U32(nvmlDeviceGetMinorNumber, "minor")
GET_TEXT(nvmlDeviceGetUUID, "uuid")
GET_TEXT(nvmlDeviceGetSerial, "serial")
GET_TEXT(nvmlDeviceGetName, "name")
GET_TEXT(nvmlDeviceGetVbiosVersion, "vbios")
GET_TEXT(nvmlDeviceGetBoardPartNumber, "part_number")
GET_TEXT(nvmlDeviceGetInforomImageVersion, "inforom")
GET_U32(nvmlDeviceGetBrand, "brand")
GET_U32(nvmlDeviceGetArchitecture, "architecture")
GET_PAIR(nvmlDeviceGetCudaComputeCapability, "capability/0", "capability/1")
GET_U32(nvmlDeviceGetMemoryBusWidth, "memory_bus_bits")
rc nvmlDeviceValidateInforom(void *h) { BEGIN(h) END(of(d, "inforom") ? OK : NOT_SUPPORTED); }

typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } PciInfo;
rc nvmlDeviceGetPciInfo_v3(void *h, PciInfo *out) {
    BEGIN(h)
    memset(out, 0, sizeof *out);
    const char *p = of(d, "pci/bus_id");
    if (!p) END(NOT_SUPPORTED);
    copy_string(p, out->bus_id, sizeof out->bus_id);
    sscanf(out->bus_id, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    copy_string(p, out->legacy, sizeof out->legacy);
    put_u32(of(d, "pci/device_id"), &out->id);
    put_u32(of(d, "pci/subsystem_id"), &out->subsystem);
    END(OK);
}

/* --- memory and processes ------------------------------------------------------------------------------------ */

typedef struct { u64 total, free, used; } Memory;
typedef struct { u32 version; u64 total, reserved, free, used; } MemoryV2;
rc nvmlDeviceGetMemoryInfo(void *h, Memory *out) { /* the old call counts the driver's reserve as used */
    BEGIN(h)
    u64 reserved = 0;
    rc r = put_u64(of(d, "memory/total"), &out->total);
    if (!r) r = put_u64(of(d, "memory/used"), &out->used);
    put_u64(of(d, "memory/reserved"), &reserved);
    out->used += reserved, out->free = out->total - out->used;
    END(r);
}
rc nvmlDeviceGetMemoryInfo_v2(void *h, MemoryV2 *out) {
    BEGIN(h)
    if (out->version != (0x2000000 | sizeof *out)) END(VERSION_MISMATCH);
    rc r = put_u64(of(d, "memory/total"), &out->total);
    if (!r) r = put_u64(of(d, "memory/used"), &out->used);
    out->reserved = 0;
    put_u64(of(d, "memory/reserved"), &out->reserved);
    out->free = out->total - out->used - out->reserved;
    END(r);
}
rc nvmlDeviceGetBAR1MemoryInfo(void *h, Memory *out) {
    BEGIN(h)
    rc r = put_u64(of(d, "bar1/total"), &out->total);
    if (!r) r = put_u64(of(d, "bar1/used"), &out->used);
    out->free = out->total - out->used;
    END(r);
}

typedef struct { u32 pid; u64 bytes; u32 gi, ci; } Process;
static rc processes(const char *function, const char *list, void *h, u32 *count, Process *out) {
    int d = index_of(h);
    rc code = enter(function, d);
    if (code) return code;
    pthread_mutex_lock(&lock);
    u32 n = 0;
    while (of(d, "processes/%s/%u/pid", list, n)) n++;
    u32 room = *count;
    *count = n;
    if (n > room || (n && !out)) END(INSUFFICIENT_SIZE);
    for (u32 i = 0; i < n; i++) {
        const char *bytes = of(d, "processes/%s/%u/bytes", list, i);
        out[i] = (Process){(u32)number(of(d, "processes/%s/%u/pid", list, i)), ~0ULL, ~0U, ~0U};
        if (bytes && *bytes != 'n') out[i].bytes = (u64)number(bytes); /* null: the driver does not tell */
    }
    END(OK);
}
rc nvmlDeviceGetComputeRunningProcesses_v3(void *h, u32 *n, Process *out) { return processes(__func__, "compute", h, n, out); }
rc nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, u32 *n, Process *out) { return processes(__func__, "graphics", h, n, out); }
rc nvmlDeviceGetMPSComputeRunningProcesses_v3(void *h, u32 *n, Process *out) { return processes(__func__, "mps", h, n, out); }

typedef struct { u32 pid; u64 time_us; u32 sm, memory, encoder, decoder; } UtilizationSample;
rc nvmlDeviceGetProcessUtilization(void *h, UtilizationSample *out, u32 *count, u64 since) {
    BEGIN(h)
    (void)since;
    u32 n = 0;
    while (of(d, "process_utilisation/%u/pid", n)) n++;
    u32 room = *count;
    *count = n;
    if (!n) END(NOT_FOUND);
    if (!out || n > room) END(INSUFFICIENT_SIZE);
    for (u32 i = 0; i < n; i++) {
        out[i] = (UtilizationSample){0};
        out[i].pid = (u32)number(of(d, "process_utilisation/%u/pid", i));
        out[i].sm = (u32)number(of(d, "process_utilisation/%u/sm", i));
    }
    END(OK);
}
GET_U32(nvmlDeviceGetComputeMode, "compute_mode")
GET_U32(nvmlDeviceGetPersistenceMode, "persistence")
GET_PAIR(nvmlDeviceGetMigMode, "mig/0", "mig/1")
GET_U32(nvmlDeviceGetMaxMigDeviceCount, "mig_devices_max")
rc nvmlDeviceIsMigDeviceHandle(void *h, u32 *out) { BEGIN(h) *out = 0; END(OK); }
rc nvmlDeviceGetMigDeviceHandleByIndex(void *h, u32 index, void **out) { BEGIN(h) (void)index; (void)out; END(NOT_FOUND); }
GET_U32(nvmlDeviceGetVirtualizationMode, "virtualization")

/* --- heat, power, clocks, use -------------------------------------------------------------------------------- */

rc nvmlDeviceGetTemperature(void *h, u32 sensor, u32 *out) { BEGIN(h) (void)sensor; END(put_u32(of(d, "temperature/core"), out)); }
typedef struct { u32 version, sensor; int celsius; } TemperatureV1;
rc nvmlDeviceGetTemperatureV(void *h, TemperatureV1 *out) {
    BEGIN(h)
    if (out->version != (0x1000000 | sizeof *out)) END(VERSION_MISMATCH);
    END(put_u32(of(d, "temperature/core"), (u32 *)&out->celsius));
}
rc nvmlDeviceGetTemperatureThreshold(void *h, u32 kind, u32 *out) {
    static const char *names[] = {"shutdown", "slowdown", "memory_max", "gpu_max"};
    BEGIN(h)
    END(kind > 3 ? NOT_SUPPORTED : put_u32(of(d, "temperature/%s", names[kind]), out));
}
typedef struct { u32 version; int celsius; } MarginV1;
rc nvmlDeviceGetMarginTemperature(void *h, MarginV1 *out) {
    BEGIN(h)
    if (out->version != (0x1000000 | sizeof *out)) END(VERSION_MISMATCH);
    END(put_u32(of(d, "temperature/margin"), (u32 *)&out->celsius));
}
GET_U32(nvmlDeviceGetPowerUsage, "power_mw/usage")
GET_U32(nvmlDeviceGetPowerManagementLimit, "power_mw/limit")
GET_U32(nvmlDeviceGetPowerManagementDefaultLimit, "power_mw/default")
GET_U32(nvmlDeviceGetEnforcedPowerLimit, "power_mw/enforced")
GET_PAIR(nvmlDeviceGetPowerManagementLimitConstraints, "power_mw/min", "power_mw/max")
GET_U64(nvmlDeviceGetTotalEnergyConsumption, "energy_mj")
GET_U32(nvmlDeviceGetPerformanceState, "performance_state")
static const char *clock_names[] = {"graphics", "sm", "memory", "video"};
/* Asked for a clock that does not exist, a driver says "not supported" here and "invalid" of the highest (seen: 580.159). */
rc nvmlDeviceGetClockInfo(void *h, u32 kind, u32 *out) { BEGIN(h) END(kind > 3 ? NOT_SUPPORTED : put_u32(of(d, "clocks/%s", clock_names[kind]), out)); }
rc nvmlDeviceGetMaxClockInfo(void *h, u32 kind, u32 *out) { BEGIN(h) END(kind > 3 ? INVALID_ARGUMENT : put_u32(of(d, "clocks_max/%s", clock_names[kind]), out)); }
rc nvmlDeviceGetApplicationsClock(void *h, u32 kind, u32 *out) { BEGIN(h) END(kind > 3 ? INVALID_ARGUMENT : put_u32(of(d, "clocks_app/%s", clock_names[kind]), out)); }
GET_U64(nvmlDeviceGetCurrentClocksEventReasons, "clock_events")
GET_U64(nvmlDeviceGetCurrentClocksThrottleReasons, "clock_events")
GET_U64(nvmlDeviceGetSupportedClocksEventReasons, "clock_events_supported")
GET_U64(nvmlDeviceGetSupportedClocksThrottleReasons, "clock_events_supported")
typedef struct { u64 reference, violation; } Violation;
rc nvmlDeviceGetViolationStatus(void *h, u32 policy, Violation *out) {
    BEGIN(h)
    if (policy > 5) END(INVALID_ARGUMENT);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->reference = (u64)now.tv_sec * 1000000 + now.tv_nsec / 1000; /* microseconds; the violation is nanoseconds */
    END(put_u64(of(d, "violations/%u", policy), &out->violation));
}
GET_U32(nvmlDeviceGetFanSpeed, "fan_percent")
GET_U32(nvmlDeviceGetNumFans, "fans")
rc nvmlDeviceGetUtilizationRates(void *h, u32 *out) { BEGIN(h) rc r = put_u32(of(d, "utilisation/gpu"), out); END(r ? r : put_u32(of(d, "utilisation/memory"), out + 1)); }
GET_PAIR(nvmlDeviceGetEncoderUtilization, "utilisation/encoder", "utilisation/period_us")
GET_PAIR(nvmlDeviceGetDecoderUtilization, "utilisation/decoder", "utilisation/period_us")

/* --- memory errors ------------------------------------------------------------------------------------------- */

GET_PAIR(nvmlDeviceGetEccMode, "ecc/current", "ecc/pending")
static const char *error_names[] = {"corrected", "uncorrected"}, *counter_names[] = {"volatile", "aggregate"};
static const char *location_names[] = {"l1", "l2", "dram", "registers", "texture", "shared", "cbu", "sram"};
rc nvmlDeviceGetTotalEccErrors(void *h, u32 error, u32 counter, u64 *out) {
    BEGIN(h)
    END(error > 1 || counter > 1 ? INVALID_ARGUMENT : put_u64(of(d, "ecc/%s_%s/total", error_names[error], counter_names[counter]), out));
}
rc nvmlDeviceGetMemoryErrorCounter(void *h, u32 error, u32 counter, u32 location, u64 *out) {
    BEGIN(h)
    if (error > 1 || counter > 1 || location > 7) END(INVALID_ARGUMENT);
    END(put_u64(of(d, "ecc/%s_%s/%s", error_names[error], counter_names[counter], location_names[location]), out));
}
typedef struct { u32 version; u64 counts[11]; u32 exceeded; } Sram;
rc nvmlDeviceGetSramEccErrorStatus(void *h, Sram *out) {
    BEGIN(h)
    if (out->version != (0x1000000 | sizeof *out)) END(VERSION_MISMATCH);
    for (int i = 0; i < 11; i++) { out->counts[i] = 0; put_u64(of(d, "ecc/sram/counts/%d", i), &out->counts[i]); }
    END(put_u32(of(d, "ecc/sram/exceeded"), &out->exceeded));
}
rc nvmlDeviceGetRemappedRows(void *h, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    BEGIN(h)
    rc r = put_u32(of(d, "remap/corrected"), corrected);
    if (!r) r = put_u32(of(d, "remap/uncorrected"), uncorrected);
    if (!r) r = put_u32(of(d, "remap/pending"), pending);
    END(r ? r : put_u32(of(d, "remap/failed"), failed));
}
rc nvmlDeviceGetRowRemapperHistogram(void *h, u32 *out) {
    static const char *names[] = {"max", "high", "partial", "low", "none"};
    BEGIN(h)
    rc r = OK;
    for (int i = 0; i < 5 && !r; i++) r = put_u32(of(d, "remap/histogram/%s", names[i]), out + i);
    END(r);
}
rc nvmlDeviceGetRetiredPages(void *h, u32 cause, u32 *count, u64 *out) {
    BEGIN(h)
    const char *p = of(d, "retired/%u", cause);
    if (!p) END(NOT_SUPPORTED);
    u32 n = (u32)number(p), room = *count;
    *count = n;
    if (n > room || (n && !out)) END(INSUFFICIENT_SIZE);
    for (u32 i = 0; i < n; i++) out[i] = 0x1000ULL * (i + 1);
    END(OK);
}
GET_U32(nvmlDeviceGetRetiredPagesPendingStatus, "retired/pending")
typedef struct { u32 version, unrepairable; } Unrepairable;
rc nvmlDeviceGetUnrepairableMemoryFlag_v1(void *h, Unrepairable *out) {
    BEGIN(h)
    if (out->version != (0x1000000 | sizeof *out)) END(VERSION_MISMATCH);
    END(put_u32(of(d, "unrepairable"), &out->unrepairable));
}

/* --- links --------------------------------------------------------------------------------------------------- */

GET_U32(nvmlDeviceGetCurrPcieLinkGeneration, "pcie/generation")
GET_U32(nvmlDeviceGetCurrPcieLinkWidth, "pcie/width")
GET_U32(nvmlDeviceGetMaxPcieLinkGeneration, "pcie/generation_max")
GET_U32(nvmlDeviceGetMaxPcieLinkWidth, "pcie/width_max")
GET_U32(nvmlDeviceGetGpuMaxPcieLinkGeneration, "pcie/generation_device")
GET_U32(nvmlDeviceGetPcieReplayCounter, "pcie/replays")
rc nvmlDeviceGetPcieThroughput(void *h, u32 kind, u32 *out) { BEGIN(h) END(put_u32(of(d, kind ? "pcie/rx_kb" : "pcie/tx_kb"), out)); }

static rc link_ok(int d, u32 link) {
    const char *p = of(d, "nvlink/count");
    return !p || !number(p) ? NOT_SUPPORTED : link >= (u32)number(p) ? INVALID_ARGUMENT : OK;
}
rc nvmlDeviceGetNvLinkState(void *h, u32 link, u32 *out) {
    BEGIN(h)
    rc r = link_ok(d, link);
    if (r) END(r);
    *out = 1;
    for (int i = 0; i < 64; i++) {
        const char *down = of(d, "nvlink/down/%d", i);
        if (!down) break;
        if ((u32)number(down) == link) *out = 0;
    }
    END(OK);
}
rc nvmlDeviceGetNvLinkVersion(void *h, u32 link, u32 *out) { BEGIN(h) rc r = link_ok(d, link); END(r ? r : put_u32(of(d, "nvlink/version"), out)); }
rc nvmlDeviceGetNvLinkErrorCounter(void *h, u32 link, u32 counter, u64 *out) {
    static const char *names[] = {"replay", "recovery", "crc_flit", "crc_data", "ecc"};
    BEGIN(h)
    rc r = link_ok(d, link);
    if (r || counter > 4) END(r ? r : INVALID_ARGUMENT);
    const char *p = of(d, "nvlink/errors/%u/%s", link, names[counter]);
    END(p ? put_u64(p, out) : put_u64(of(d, "nvlink/errors/all/%s", names[counter]), out));
}
typedef struct { u32 version; unsigned char cluster[16]; u32 status, clique, state, mask; unsigned char summary; } FabricV3;
rc nvmlDeviceGetGpuFabricInfoV(void *h, FabricV3 *out) {
    BEGIN(h)
    int v2 = out->version == 0x2000024;
    if (!v2 && out->version != (0x3000000 | sizeof *out)) END(VERSION_MISMATCH);
    rc r = put_u32(of(d, "fabric/state"), &out->state);
    if (!r) r = put_u32(of(d, "fabric/status"), &out->status);
    out->clique = 0;
    if (!r) r = put_u32(of(d, "fabric/mask"), &out->mask);
    u32 summary = 0;
    if (!r && !v2 && !(r = put_u32(of(d, "fabric/summary"), &summary))) out->summary = (unsigned char)summary;
    END(r);
}

/* --- field values: each element has its own return code and value type ---------------------------------------- */

typedef struct { u32 id, scope; long long time, latency; u32 type, code; union { double d; u32 u; u64 l; int i; } value; } Field;
static u32 type_of(u32 id) { /* as a driver tags them (seen: 580.159 on an H200) */
    static const unsigned char plain[] = {82, 94, 95, 169, 192, 197, 198, 199, 226, 227, 228, 229, 230};
    if (id >= 193 && id <= 196) return 5; /* temperatures below a limit */
    if (id == 147) return 0;
    if (id >= 173 && id <= 190) return 1;
    return memchr(plain, (int)id, sizeof plain) && id < 256 ? 1 : 3;
}
rc nvmlDeviceGetFieldValues(void *h, int count, Field *fields) {
    BEGIN(h)
    for (int i = 0; i < count; i++) {
        Field *f = fields + i;
        const char *code = of(d, "field_returns/%u", f->id);
        const char *p = of(d, "fields/%u@%u", f->id, f->scope);
        if (!p) p = of(d, "fields/%u", f->id);
        f->code = code ? (u32)number(code) : p ? OK : NOT_SUPPORTED;
        if (f->code) continue;
        f->type = type_of(f->id);
        if (f->type == 5) f->value.i = (int)number(p);
        else if (f->type == 0) f->value.d = number(p);
        else if (f->type == 1) f->value.u = (u32)(long long)number(p);
        else f->value.l = (u64)number(p);
    }
    END(OK);
}

/* --- events: each is delivered once; a wait really waits ----------------------------------------------------- */

typedef struct { void *device; u64 type, data; u32 gi, ci; } Event;
static u32 events_given;
rc nvmlDeviceGetSupportedEventTypes(void *h, u64 *out) { BEGIN(h) rc r = put_u64(of(d, "event_types"), out); if (r) *out = 0x1f; END(OK); }
rc nvmlDeviceRegisterEvents(void *h, u64 types, void *set) { BEGIN(h) (void)types; (void)set; END(OK); }
rc nvmlEventSetCreate(void **out) { rc code = enter(__func__, NO_DEVICE); if (!code) *out = &events_given; return code; }
rc nvmlEventSetFree(void *set) { (void)set; return enter(__func__, NO_DEVICE); }
rc nvmlEventSetWait_v2(void *set, Event *out, u32 timeout_ms) {
    rc code = enter(__func__, NO_DEVICE);
    (void)set;
    if (code) return code;
    for (u32 waited = 0;; waited += 10) {
        char path[64];
        pthread_mutex_lock(&lock);
        reload();
        snprintf(path, sizeof path, "events/%u", events_given);
        const char *event = lookup(path);
        if (event && plain_number(walk(event, "after_s")) <= elapsed_s()) {
            events_given++;
            *out = (Event){handles + (int)number(walk(event, "device")), (u64)number(walk(event, "type")),
                           (u64)number(walk(event, "data")), ~0U, ~0U};
            END(OK);
        }
        pthread_mutex_unlock(&lock);
        if (waited >= timeout_ms) return TIMEOUT;
        usleep(10000);
    }
}
