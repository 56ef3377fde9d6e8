/* NVIDIA's management library, libnvidia-ml.so.1, as far as PyTorch asks it how many GPUs there are: that does not start
 * CUDA, so that processes can still be forked for it. What else PyTorch looks up, for its messages, is not supported. */

#define NOT_SUPPORTED 3
#define UNUSED(name) \
    int name(void) { return NOT_SUPPORTED; }

int nvmlInit(void) { return 0; }
int nvmlDeviceGetCount_v2(int *count) { return *count = 1, 0; }
UNUSED(nvmlInit_v2)
UNUSED(nvmlDeviceGetHandleByPciBusId_v2)
UNUSED(nvmlDeviceGetComputeRunningProcesses)
UNUSED(nvmlDeviceGetGpuFabricInfoV)
UNUSED(nvmlDeviceGetNvLinkRemoteDeviceType)
UNUSED(nvmlDeviceGetNvLinkRemotePciInfo_v2)
UNUSED(nvmlSystemGetCudaDriverVersion_v2)
