// A CUDA driver without a GPU, for testing what the real bindings are called with (test_gpu_cuda_driver.py).
// Device memory is host memory, everything runs at once, and a launch is logged with the bytes its arguments point to.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dlfcn.h>

typedef int R;
static int contexts, fail_code;
static char fail_name[64];

static R call(const char *name) {
    FILE *log = fopen(getenv("STUB_LOG"), "a");
    fprintf(log, "%s\n", name);
    fclose(log);
    return strcmp(name, fail_name) ? 0 : fail_code;
}
#define CALL R r = call(__func__); if (r) return r
#define WITH_CONTEXT CALL; if (!contexts) return 201

void *stub_symbol(const char *name);
R cuGetProcAddress_v2(const char *symbol, void **out, int version, uint64_t flags, int *status) {
    char versioned[128];
    snprintf(versioned, sizeof versioned, "%s_v2", symbol);
    *out = dlsym(RTLD_DEFAULT, versioned);
    if (!*out) *out = stub_symbol(versioned);
    if (!*out) *out = stub_symbol(symbol);
    if (status) *status = *out ? 0 : 1;
    return *out ? 0 : 500;
}
R cuGetProcAddress(const char *symbol, void **out, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, out, version, flags, 0);
}
R cuInit(unsigned flags) {
    const char *fail = getenv("STUB_FAIL");
    if (fail) sscanf(fail, "%63[^=]=%d", fail_name, &fail_code);
    CALL; return 0;
}
R cuDriverGetVersion(int *v) { *v = 13020; return 0; }
R cuDeviceGetCount(int *n) { *n = 1; return 0; }
R cuDeviceGet(int *d, int ordinal) { CALL; *d = 7; return ordinal ? 101 : 0; }
R cuDeviceGetName(char *name, int length, int d) { snprintf(name, length, "Stub GPU"); return d == 7 ? 0 : 101; }
R cuDeviceGetUuid_v2(unsigned char *uuid, int d) { for (int i = 0; i < 16; i++) uuid[i] = i; return 0; }
R cuDeviceTotalMem_v2(size_t *bytes, int d) { *bytes = 8ull << 30; return 0; }
R cuDeviceGetAttribute(int *v, int attribute, int d) {
    *v = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 16 ? 16 : attribute == 97 ? 166912 : -1;
    return 0;
}
R cuDevicePrimaryCtxRetain(void **ctx, int d) { CALL; *ctx = (void *)0xC0; return 0; }
R cuDevicePrimaryCtxRelease_v2(int d) { CALL; return 0; }
R cuCtxPushCurrent_v2(void *ctx) { contexts++; return ctx == (void *)0xC0 ? 0 : 201; }
R cuCtxPopCurrent_v2(void **ctx) { contexts--; *ctx = (void *)0xC0; return 0; }
R cuModuleLoadData(void **module, const void *image) {
    WITH_CONTEXT; *module = (void *)0xA0; return memcmp(image, "\x7f" "ELF", 4) ? 200 : 0;
}
R cuModuleUnload(void *module) { WITH_CONTEXT; return module == (void *)0xA0 ? 0 : 400; }
R cuModuleGetFunction(void **f, void *module, const char *name) {
    WITH_CONTEXT; *f = (void *)0xF0; return strcmp(name, "stub_kernel") ? 500 : 0;
}
// Three parameters and the two hidden pointers: a pointer, an integer, a float.
static const size_t places[][2] = {{0, 8}, {8, 4}, {12, 4}, {16, 8}, {24, 8}};
R cuFuncGetParamInfo(void *f, size_t i, size_t *offset, size_t *size) {
    if (i >= 5) return 1;
    *offset = places[i][0]; *size = places[i][1]; return 0;
}
R cuFuncSetAttribute(void *f, int attribute, int v) {
    WITH_CONTEXT;
    char text[64]; snprintf(text, sizeof text, "attribute %d %d", attribute, v); call(text);
    return f == (void *)0xF0 ? 0 : 400;
}
R cuStreamCreate(void **s, unsigned flags) { WITH_CONTEXT; *s = (void *)0x50; return flags == 1 ? 0 : 1; }
R cuStreamDestroy_v2(void *s) { WITH_CONTEXT; return s == (void *)0x50 ? 0 : 400; }
R cuStreamSynchronize(void *s) { WITH_CONTEXT; return s == (void *)0x50 ? 0 : 400; }
R cuMemAlloc_v2(uint64_t *p, size_t n) { WITH_CONTEXT; *p = (uint64_t)aligned_alloc(256, (n + 255) / 256 * 256); return 0; }
R cuMemFree_v2(uint64_t p) { WITH_CONTEXT; free((void *)p); return 0; }
R cuMemHostAlloc(void **p, size_t n, unsigned flags) { WITH_CONTEXT; *p = malloc(n); return flags ? 1 : 0; }
R cuMemFreeHost(void *p) { WITH_CONTEXT; free(p); return 0; }
R cuMemcpyHtoDAsync_v2(uint64_t d, const void *h, size_t n, void *s) { WITH_CONTEXT; memcpy((void *)d, h, n); return 0; }
R cuMemcpyDtoHAsync_v2(void *h, uint64_t d, size_t n, void *s) { WITH_CONTEXT; memcpy(h, (void *)d, n); return 0; }
R cuMemcpyDtoDAsync_v2(uint64_t a, uint64_t b, size_t n, void *s) { WITH_CONTEXT; memcpy((void *)a, (void *)b, n); return 0; }
R cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                 void *s, void **params, void **extra) {
    WITH_CONTEXT;
    if (f != (void *)0xF0 || s != (void *)0x50 || extra) return 400;
    char text[256];
    snprintf(text, sizeof text, "launch %u,%u,%u %u,%u,%u %u | %llx %d %g %llx %llx", gx, gy, gz, bx, by, bz, shared,
             *(unsigned long long *)params[0], *(int *)params[1], *(float *)params[2],
             *(unsigned long long *)params[3], *(unsigned long long *)params[4]);
    call(text);
    return 0;
}
R cuEventCreate(void **e, unsigned flags) { WITH_CONTEXT; *e = (void *)0xE0; return flags == 2 ? 0 : 1; }
R cuEventRecord(void *e, void *s) { WITH_CONTEXT; return e == (void *)0xE0 && s == (void *)0x50 ? 0 : 400; }
R cuEventSynchronize(void *e) { WITH_CONTEXT; return e == (void *)0xE0 ? 0 : 400; }
R cuEventDestroy_v2(void *e) { WITH_CONTEXT; return 0; }
R cuStreamBeginCapture_v2(void *s, int mode) { WITH_CONTEXT; return mode == 1 ? 0 : 1; }
R cuStreamEndCapture(void *s, void **graph) { WITH_CONTEXT; *graph = (void *)0x60; return 0; }
R cuGraphInstantiateWithFlags(void **exec, void *graph, unsigned long long flags) {
    WITH_CONTEXT; *exec = (void *)0x70; return graph == (void *)0x60 && !flags ? 0 : 400;
}
R cuGraphDestroy(void *graph) { WITH_CONTEXT; return graph == (void *)0x60 ? 0 : 400; }
R cuGraphLaunch(void *exec, void *s) { WITH_CONTEXT; return exec == (void *)0x70 && s == (void *)0x50 ? 0 : 400; }
R cuGraphExecDestroy(void *exec) { WITH_CONTEXT; return exec == (void *)0x70 ? 0 : 400; }
R cuGetErrorName(int code, const char **text) { *text = code == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : "CUDA_ERROR_OTHER"; return 0; }
R cuGetErrorString(int code, const char **text) { *text = "what the driver says"; return 0; }

void *stub_symbol(const char *name) {
    static void *self;
    if (!self) self = dlopen(getenv("STUB_SELF"), RTLD_NOW | RTLD_NOLOAD);
    return self ? dlsym(self, name) : 0;
}
