/* Stands in for a provider's library and tells it that every processor is of Intel's make.
   OpenVINO's provider offers its CPU device on such processors only, though it computes on others.
   The library that it stands in for is named by ANY_CPU_LIBRARY, a macro. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ONNX Runtime's table of functions only ever grows at its end; 22 is the version with this one. */
enum { VERSION = 22, HARDWARE_DEVICE_VENDOR_ID = 308, INTEL = 0x8086 };

typedef struct {
  void **(*api)(uint32_t version);
  const char *(*version)(void);
} Base;
typedef void *(*Create)(const char *, const Base *, const void *, void **, size_t, size_t *);
typedef void *(*Release)(void *);

static void *library;

static uint32_t intel(const void *device) {
  (void)device;
  return INTEL;
}

void *CreateEpFactories(const char *name, const Base *base, const void *logger, void **factories,
                        size_t most, size_t *count) {
  void **entry = base->api(VERSION) + HARDWARE_DEVICE_VENDOR_ID;
  uintptr_t page = (uintptr_t)entry & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
  if (mprotect((void *)page, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE)) abort();
  *entry = (void *)intel;
  library = dlopen(ANY_CPU_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) abort();
  return ((Create)dlsym(library, "CreateEpFactories"))(name, base, logger, factories, most, count);
}

void *ReleaseEpFactory(void *factory) {
  return ((Release)dlsym(library, "ReleaseEpFactory"))(factory);
}
