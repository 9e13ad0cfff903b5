/* A libcuda.so.1 whose device memory is the host's and whose streams do at once what they are told.

   It counts what is open, so that a leak shows, and refuses what has no context. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
#define CONTEXT ((void *)0xC0)

static _Thread_local void *current;
static int open_things, contexts, asked_not_ready = 2;

static int bad(void) { return current == CONTEXT ? 0 : 201; }
API int fake_open(void) { return open_things; }
API int fake_contexts(void) { return contexts; }

API int cuInit(unsigned flags) { return flags ? 1 : getenv("FAKE_CUDA_INIT") ? atoi(getenv("FAKE_CUDA_INIT")) : 0; }
API int cuDeviceGet(int *out, int ordinal) { *out = ordinal; return ordinal ? 101 : 0; }
API int cuDeviceGetByPCIBusId(int *out, const char *bus) {
    *out = 3;
    return strcmp(bus, "0000:07:00.0") ? 101 : 0;
}
API int cuDeviceGetUuid_v2(unsigned char *out, int device) {
    const char *text = getenv("FAKE_CUDA_UUID");
    (void)device;
    for (int i = 0; i < 16; i++) {
        unsigned byte = 0;
        if (text) sscanf(text + 2 * i, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return 0;
}
API int cuDevicePrimaryCtxRetain(void **out, int device) { (void)device; contexts++; *out = CONTEXT; return 0; }
API int cuDevicePrimaryCtxRelease_v2(int device) { (void)device; contexts--; return 0; }
API int cuCtxSetCurrent(void *context) { current = context; return 0; }
API int cuGetErrorName(int code, const char **out) {
    *out = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 101 ? "CUDA_ERROR_INVALID_DEVICE"
         : code == 100 ? "CUDA_ERROR_NO_DEVICE" : code == 201 ? "CUDA_ERROR_INVALID_CONTEXT" : NULL;
    return *out ? 0 : 1;
}
static int made(void **out) { *out = malloc(8); open_things++; return bad(); }
static int gone(void *thing) { free(thing); open_things--; return bad(); }
API int cuStreamCreate(void **out, unsigned flags) { return flags == 1 ? made(out) : 1; }
API int cuStreamDestroy_v2(void *stream) { return gone(stream); }
API int cuEventCreate(void **out, unsigned flags) { return flags == 2 ? made(out) : 1; }
API int cuEventDestroy_v2(void *event) { return gone(event); }
API int cuEventRecord(void *event, void *stream) { return event && stream ? bad() : 1; }
API int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return event && stream && !flags ? bad() : 1; }
API int cuEventQuery(void *event) { return !event ? 1 : asked_not_ready-- > 0 ? 600 : bad(); }
API int cuMemAlloc_v2(uint64_t *out, size_t nbytes) {
    if (nbytes > (size_t)1 << 33) return 2;
    *out = (uint64_t)malloc(nbytes);
    open_things++;
    return bad();
}
API int cuMemFree_v2(uint64_t address) { return gone((void *)address); }
API int cuMemHostAlloc(void **out, size_t nbytes, unsigned flags) {
    *out = malloc(nbytes);
    open_things++;
    return flags ? 1 : bad();
}
API int cuMemFreeHost(void *address) { return gone(address); }
API int cuMemcpyHtoDAsync_v2(uint64_t to, const void *of, size_t nbytes, void *stream) {
    memcpy((void *)to, of, nbytes);
    return stream ? bad() : 1;
}
API int cuMemcpyDtoHAsync_v2(void *to, uint64_t of, size_t nbytes, void *stream) {
    memcpy(to, (void *)of, nbytes);
    return stream ? bad() : 1;
}
/* One kernel, `add(int64 *size, int64 *sum, int a, int b, scratch, scratch)`, and graphs of one launch. */
static int capturing;
static int64_t *noted_sum, noted_value;
API int cuModuleLoadData(void **out, const void *image) { return strcmp(image, "cubin") ? 200 : made(out); }
API int cuModuleUnload(void *module) { return gone(module); }
API int cuModuleGetFunction(void **out, void *module, const char *name) {
    *out = (void *)0xF0;
    return module && !strcmp(name, "add") ? bad() : 500;
}
API int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                       unsigned bz, unsigned shared, void *stream, void **arguments, void **extra) {
    if (function != (void *)0xF0 || !stream || extra || gz != 1 || by != 1 || bz != 1) return 1;
    int64_t *size = *(int64_t **)arguments[0], *sum = *(int64_t **)arguments[1];
    int64_t value = *(int *)arguments[2] + *(int *)arguments[3];
    if (*(void **)arguments[4] || *(void **)arguments[5]) return 1;
    if (capturing) { noted_sum = sum; noted_value = value; return 0; }
    *size = (int64_t)gx * gy * bx + shared;
    *sum += value;
    return bad();
}
API int cuStreamBeginCapture_v2(void *stream, int mode) { capturing = 1; return stream && mode == 1 ? bad() : 1; }
API int cuStreamEndCapture(void *stream, void **graph) { capturing = 0; *graph = malloc(8); open_things++; return stream ? bad() : 1; }
API int cuGraphInstantiateWithFlags(void **out, void *graph, unsigned long long flags) { return graph && !flags ? made(out) : 1; }
API int cuGraphDestroy(void *graph) { return gone(graph); }
API int cuGraphExecDestroy(void *graph) { return gone(graph); }
API int cuGraphLaunch(void *graph, void *stream) { *noted_sum += noted_value; return graph && stream ? bad() : 1; }
API int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) {
    *free_bytes = (size_t)5 << 32;
    *all = (size_t)6 << 32;
    return bad();
}
