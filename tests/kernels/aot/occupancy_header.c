/* Prints what NVIDIA's cuda_occupancy.h says for lines of: major minor registers shared_bytes num_warps shared_per_sm threads_per_sm. */
#include <stdio.h>
#include <string.h>
#include "cuda_occupancy.h"

int main(void) {
  int major, minor, registers, warps, shared_per_sm, threads_per_sm;
  size_t shared;
  while (scanf("%d %d %d %zu %d %d %d", &major, &minor, &registers, &shared, &warps, &shared_per_sm, &threads_per_sm) == 7) {
    struct cudaOccDeviceProp device;
    struct cudaOccFuncAttributes function;
    struct cudaOccDeviceState state;
    struct cudaOccResult result;
    memset(&device, 0, sizeof device);
    memset(&function, 0, sizeof function);
    memset(&state, 0, sizeof state);
    device.computeMajor = major;
    device.computeMinor = minor;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = threads_per_sm;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 48 * 1024;
    device.sharedMemPerMultiprocessor = shared_per_sm;
    device.sharedMemPerBlockOptin = shared_per_sm - 1024;
    device.reservedSharedMemPerBlock = 1024;
    device.numSms = 1;
    function.maxThreadsPerBlock = 1024;
    function.numRegs = registers;
    function.partitionedGCConfig = PARTITIONED_GC_OFF;
    function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    function.maxDynamicSharedSizeBytes = shared;
    function.numBlockBarriers = 1;
    state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &function, &state, 32 * warps, shared);
    printf("%d %d\n", (int)error, error == CUDA_OCC_SUCCESS ? result.activeBlocksPerMultiprocessor : -1);
  }
  return 0;
}
