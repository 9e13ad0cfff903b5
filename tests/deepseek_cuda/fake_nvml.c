/* A libnvidia-ml.so.1 that tells what the file in FAKE_NVML says; the tests compile it.

   A line is `word value`; `gpu` and `instance` begin a card and a MIG instance, the lines after
   one of them are its own. `hang` is how many calls of any function return before one does not.
   `lasts` is how often a card tells its utilization before it is lost; `traffic` is what its
   counters of PCIe bytes grow by at each look, `slow` its PCIe throughput in KB/s. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 16
#define API __attribute__((visibility("default")))

typedef struct Unit {
    char name[96], uuid[96], bus[32];
    int major, minor, lost, mig, gi, ci, instances, temperature, power, busy, garbled, shared;
    int clock, reasons, ecc, traffic, slow, bandwidth, lasts, calls;
    unsigned long long mem, used, moved;
    struct Unit *instance[MOST];
} Unit;

static Unit cards[MOST];
static int count, error, hang = -1, cuda = 12040;
static char driver[80] = "550.54.15";

static int called(void) {
    if (hang >= 0 && hang-- == 0)
        for (;;) sleep(60);
    return 0;
}

static void read_file(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], word[32], value[200];
    Unit *now = NULL;
    count = error = 0;
    hang = -1;
    while (file && fgets(line, sizeof line, file)) {
        value[0] = 0;
        if (sscanf(line, "%31s %199[^\n]", word, value) < 1) continue;
        long long number = atoll(value);
        if (!strcmp(word, "gpu")) {
            now = &cards[count++];
            memset(now, 0, sizeof *now);
            now->temperature = now->power = now->busy = -1;
            now->clock = now->reasons = now->ecc = now->traffic = now->slow = now->bandwidth = -1;
            now->lasts = -1;
        } else if (!strcmp(word, "instance")) {
            Unit *card = &cards[count - 1];
            now = card->instance[card->instances++] = calloc(1, sizeof(Unit));
            now->temperature = now->power = now->busy = -1;
        } else if (!strcmp(word, "error")) error = (int)number;
        else if (!strcmp(word, "hang")) hang = (int)number;
        else if (!strcmp(word, "cuda")) cuda = (int)number;
        else if (!strcmp(word, "driver")) snprintf(driver, sizeof driver, "%s", value);
        else if (!strcmp(word, "name")) snprintf(now->name, sizeof now->name, "%s", value);
        else if (!strcmp(word, "uuid")) snprintf(now->uuid, sizeof now->uuid, "%s", value);
        else if (!strcmp(word, "bus")) snprintf(now->bus, sizeof now->bus, "%.31s", value);
        else if (!strcmp(word, "capability")) sscanf(value, "%d.%d", &now->major, &now->minor);
        else if (!strcmp(word, "mem")) now->mem = (unsigned long long)number;
        else if (!strcmp(word, "used")) now->used = (unsigned long long)number;
        else if (!strcmp(word, "lost")) now->lost = (int)number;
        else if (!strcmp(word, "mig")) now->mig = (int)number;
        else if (!strcmp(word, "gi")) now->gi = (int)number;
        else if (!strcmp(word, "ci")) now->ci = (int)number;
        else if (!strcmp(word, "temperature")) now->temperature = (int)number;
        else if (!strcmp(word, "power")) now->power = (int)number;
        else if (!strcmp(word, "garbled")) now->garbled = (int)number;
        else if (!strcmp(word, "shared")) now->shared = (int)number;
        else if (!strcmp(word, "busy")) now->busy = (int)number;
        else if (!strcmp(word, "clock")) now->clock = (int)number;
        else if (!strcmp(word, "reasons")) now->reasons = (int)number;
        else if (!strcmp(word, "ecc")) now->ecc = (int)number;
        else if (!strcmp(word, "traffic")) now->traffic = (int)number;
        else if (!strcmp(word, "slow")) now->slow = (int)number;
        else if (!strcmp(word, "bandwidth")) now->bandwidth = (int)number;
        else if (!strcmp(word, "lasts")) now->lasts = (int)number;
        else abort();
    }
    if (file) fclose(file);
}

static int text(char *out, unsigned size, const char *value) {
    snprintf(out, size, "%s", value);
    return 0;
}

API int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_file();
    called();
    return error;
}
API int nvmlShutdown(void) { return 0; }
API const char *nvmlErrorString(int code) { return code ? "a fault of the fake" : "none"; }
API int nvmlSystemGetDriverVersion(char *out, unsigned size) { return text(out, size, driver); }
API int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = cuda; return 0; }
API int nvmlDeviceGetCount_v2(unsigned *out) { called(); *out = (unsigned)count; return 0; }
API int nvmlDeviceGetHandleByIndex_v2(unsigned index, Unit **out) {
    called();
    *out = &cards[index];
    return cards[index].lost;
}
API int nvmlDeviceGetHandleByUUID(const char *uuid, Unit **out) {
    called();
    for (int i = 0; i < count; i++) {
        if (!strcmp(cards[i].uuid, uuid)) { *out = &cards[i]; return cards[i].lost; }
        for (int k = 0; k < cards[i].instances; k++)
            if (!strcmp(cards[i].instance[k]->uuid, uuid)) { *out = cards[i].instance[k]; return 0; }
    }
    return 6;
}
API int nvmlDeviceGetName(Unit *u, char *out, unsigned size) {
    return text(out, size, u->garbled ? "\xf8\x91" : u->name);
}
API int nvmlDeviceGetUUID(Unit *u, char *out, unsigned size) { return text(out, size, u->uuid); }
API int nvmlDeviceGetPciInfo_v3(Unit *u, char *out) { /* ends with the long form of busId */
    memset(out, 0, 68);
    if (!u->bus[0]) return 3; /* as on a Jetson */
    snprintf(out + 36, 32, "%s", u->bus);
    return 0;
}
API int nvmlDeviceGetMemoryInfo(Unit *u, unsigned long long *out) {
    if (!u->mem && !u->shared) return 3; /* the host's memory: an error, or zeros */
    out[0] = u->mem; out[1] = u->mem - u->used; out[2] = u->used;
    return 0;
}
API int nvmlDeviceGetCudaComputeCapability(Unit *u, int *major, int *minor) {
    *major = u->major; *minor = u->minor;
    return u->major ? 0 : 3;
}
API int nvmlDeviceGetMigMode(Unit *u, unsigned *now, unsigned *later) {
    *now = *later = (unsigned)u->mig;
    return u->major >= 8 ? 0 : 3;
}
API int nvmlDeviceGetMaxMigDeviceCount(Unit *u, unsigned *out) { (void)u; *out = 7; return 0; }
API int nvmlDeviceGetMigDeviceHandleByIndex(Unit *u, unsigned index, Unit **out) {
    if (index >= (unsigned)u->instances) return 6;
    *out = u->instance[index];
    return u->instance[index]->lost;
}
API int nvmlDeviceGetGpuInstanceId(Unit *u, unsigned *out) { *out = (unsigned)u->gi; return 0; }
API int nvmlDeviceGetComputeInstanceId(Unit *u, unsigned *out) { *out = (unsigned)u->ci; return 0; }
API int nvmlDeviceGetTemperature(Unit *u, int sensor, int *out) {
    (void)sensor;
    *out = u->temperature;
    return u->temperature < 0 ? 3 : 0;
}
API int nvmlDeviceGetPowerUsage(Unit *u, unsigned *out) {
    *out = (unsigned)u->power;
    return u->power < 0 ? 3 : 0;
}
API int nvmlDeviceGetUtilizationRates(Unit *u, unsigned *out) {
    if (u->lasts >= 0 && u->calls++ >= u->lasts) return 15;
    out[0] = (unsigned)u->busy; out[1] = (unsigned)u->busy / 2;
    return u->busy < 0 ? 3 : 0;
}
API int nvmlDeviceGetClockInfo(Unit *u, int which, unsigned *out) {
    (void)which;
    *out = (unsigned)u->clock;
    return u->clock < 0 ? 3 : 0;
}
API int nvmlDeviceGetCurrentClocksThrottleReasons(Unit *u, unsigned long long *out) {
    *out = (unsigned long long)u->reasons;
    return u->reasons < 0 ? 3 : 0;
}
API int nvmlDeviceGetTotalEccErrors(Unit *u, int kind, int since, unsigned long long *out) {
    (void)kind; (void)since;
    *out = (unsigned long long)u->ecc;
    return u->ecc < 0 ? 3 : 0;
}
API int nvmlDeviceGetPcieThroughput(Unit *u, int which, unsigned *out) {
    *out = (unsigned)u->slow * (unsigned)(which + 1);
    return u->slow < 0 ? 3 : 0;
}

typedef struct Field {
    unsigned id, scope;
    long long time, latency;
    unsigned type, status;
    unsigned long long value;
} Field;

API int nvmlDeviceGetFieldValues(Unit *u, int number, Field *fields) {
    for (int i = 0; i < number; i++) {
        fields[i].status = u->traffic < 0 ? 3 : 0;
        fields[i].value = u->moved += (unsigned long long)u->traffic;
    }
    return 0;
}

typedef struct Asked {
    unsigned version, number;
    Unit **one, **two;
    struct { unsigned id, status; double value; } first;
} Asked;

API int nvmlGpmQueryDeviceSupport(Unit *u, unsigned *out) {
    out[1] = u->bandwidth >= 0;
    return 0;
}
API int nvmlGpmSampleAlloc(Unit ***out) { *out = calloc(1, sizeof **out); return 0; }
API int nvmlGpmSampleGet(Unit *u, Unit **sample) { *sample = u; return 0; }
API int nvmlGpmMetricsGet(Asked *asked) {
    if (asked->version != 1 || asked->number != 1 || asked->first.id != 10) return 2;
    asked->first.status = *asked->one != *asked->two;
    asked->first.value = (*asked->one)->bandwidth;
    return 0;
}
