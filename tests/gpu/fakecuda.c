/* A CUDA runtime and a cuBLAS that run nothing, to be preloaded (LD_PRELOAD) below PyTorch.
 *
 * PyTorch's own host code runs as on a machine with a GPU: dispatcher, autograd's threads, the caching allocator, the
 * choice of kernels. Memory is the host's and copies are done, since PyTorch reads back what it has copied; kernels and
 * matrix products are counted, and not run. So tensors hold no results.
 *
 * FAKE_CC: the compute capability, such as 8.9; 9.0 if nothing is said. FAKE_GB: the memory, 80 if nothing is said.
 *
 * The functions of CUDA 13 that PyTorch 2.11 to 2.14 calls. What is not here goes to NVIDIA's library, and fails there.
 */
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- what is counted ----------------------------------------------------------------------------------------------- */

#define COUNTERS(C) \
    C(kernels)      /* launches, also those by the driver library (Triton's) */ \
    C(gemms)        /* matrix products of cuBLAS, each at least a kernel */ \
    C(memsets) \
    C(waits)        /* for a stream, an event or the device */ \
    C(h2d)          /* copies to the device */ \
    C(h2d_pageable) /* those of them whose memory is not pinned: the device cannot fetch it by itself */ \
    C(d2h) \
    C(d2d) \
    C(h2d_bytes) \
    C(d2h_bytes) \
    C(mallocs)

#define NAME(name) name,
enum counter { COUNTERS(NAME) COUNT };
static long counts[COUNT];

#define QUOTED(name) #name " "
const char *fake_counters(void) { return COUNTERS(QUOTED); } /* their names, for whoever reads the counts */

static void add(enum counter counter, long by) { __atomic_fetch_add(&counts[counter], by, __ATOMIC_RELAXED); }

void fake_counts(long *out) { memcpy(out, counts, sizeof counts); }

/* Launches by kernel: a table of host functions with their names, open addressing. */
#define SLOTS (1 << 19)
static struct slot {
    const void *function;
    const char *name;
    long launches;
} kernels_by_function[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct slot *slot_of(const void *function) {
    size_t i = ((uintptr_t)function >> 3) * 0x9E3779B97F4A7C15ull >> 45;
    struct slot *slot = kernels_by_function + i % SLOTS;
    while (slot->function && slot->function != function)
        slot = slot + 1 == kernels_by_function + SLOTS ? kernels_by_function : slot + 1;
    return slot;
}

void fake_register(const void *function, const char *name) {
    pthread_mutex_lock(&lock);
    struct slot *slot = slot_of(function);
    slot->name = name;
    slot->function = function;
    pthread_mutex_unlock(&lock);
}

void fake_launch(const void *function) {
    add(kernels, 1);
    struct slot *slot = slot_of(function);
    if (slot->function)
        __atomic_fetch_add(&slot->launches, 1, __ATOMIC_RELAXED);
}

void fake_each_kernel(void (*tell)(const char *name, long launches)) {
    for (struct slot *slot = kernels_by_function; slot < kernels_by_function + SLOTS; slot++)
        if (slot->launches)
            tell(slot->name, slot->launches);
}

void fake_reset(void) {
    memset(counts, 0, sizeof counts);
    for (struct slot *slot = kernels_by_function; slot < kernels_by_function + SLOTS; slot++)
        slot->launches = 0;
}

/* --- the device ---------------------------------------------------------------------------------------------------- */

static int major = 9, minor = 0, processors = 132, shared_memory = 232448;
static size_t capacity = 80ull << 30, held;
static __thread cudaError_t last_error = cudaSuccess;

__attribute__((constructor)) static void set_up(void) {
    const char *said = getenv("FAKE_CC");
    if (said)
        sscanf(said, "%d.%d", &major, &minor);
    if (major == 8)
        processors = 128, shared_memory = 101376;
    if (major == 7)
        processors = 40, shared_memory = 65536;
    if ((said = getenv("FAKE_GB")))
        capacity = (size_t)(atof(said) * (1ull << 30));
}

cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device ? cudaErrorInvalidDevice : cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDeviceCanAccessPeer(int *can, int a, int b) { return *can = 0, cudaSuccess; }
cudaError_t cudaPeekAtLastError(void) { return last_error; }

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *of, int device) {
    *of = (struct cudaDeviceProp){
        .totalGlobalMem = capacity, .major = major, .minor = minor, .multiProcessorCount = processors,
        .warpSize = 32, .maxThreadsPerBlock = 1024, .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {INT32_MAX, 65535, 65535}, .maxThreadsPerMultiProcessor = major == 8 ? 1536 : 2048,
        .maxBlocksPerMultiProcessor = 32, .regsPerBlock = 65536, .regsPerMultiprocessor = 65536,
        .sharedMemPerBlock = 49152, .sharedMemPerBlockOptin = shared_memory,
        .sharedMemPerMultiprocessor = shared_memory + 1024, .totalConstMem = 65536, .l2CacheSize = 50 << 20,
        .textureAlignment = 512, .memoryBusWidth = 5120, .asyncEngineCount = 3, .unifiedAddressing = 1,
        .concurrentKernels = 1, .managedMemory = 1,
    };
    snprintf(of->name, sizeof of->name, "pretended GPU of capability %d.%d", major, minor);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = processors; break;
    case cudaDevAttrComputeCapabilityMajor: *value = major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = shared_memory; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = shared_memory + 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = major == 8 ? 1536 : 2048; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxGridDimX: *value = INT32_MAX; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = 65536; break;
    default: *value = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    if (least)
        *least = 0;
    if (greatest)
        *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int size, int device) {
    snprintf(id, size, "0000:00:00.0");
    return cudaSuccess;
}

/* The driver library's functions by name: ours, where it has them (libcuda.c), else one that does nothing. */
static int nothing(void) { return 0; }
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags, enum cudaDriverEntryPointQueryResult *result) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY), *found = driver ? dlsym(driver, symbol) : NULL;
    *function = found ? found : (void *)nothing;
    if (result)
        *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}

/* --- streams and events: everything is done as soon as it is asked for, but who waits is counted --------------------- */

static void *fresh_handle(void) {
    static long last = 0x1000;
    return (void *)__atomic_add_fetch(&last, 16, __ATOMIC_RELAXED);
}
static cudaError_t waited(void) { return add(waits, 1), cudaSuccess; }

cudaError_t cudaDeviceSynchronize(void) { return waited(); }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { return waited(); }
cudaError_t cudaEventSynchronize(cudaEvent_t e) { return waited(); }

cudaError_t cudaStreamCreate(cudaStream_t *s) { return *s = fresh_handle(), cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned f) { return *s = fresh_handle(), cudaSuccess; }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned f, int p) { return cudaStreamCreate(s); }
cudaError_t cudaStreamGetPriority(cudaStream_t s, int *priority) { return *priority = 0, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t s) { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t s) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned f) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *e) { return *e = fresh_handle(), cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned f) { return *e = fresh_handle(), cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { return cudaSuccess; }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned f) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t e) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) { return *ms = 0.1f, cudaSuccess; }

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) { return cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status) {
    return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                     const cudaGraphEdgeData **edges, size_t *count) {
    if (id)
        *id = 0;
    return *status = cudaStreamCaptureStatusNone, cudaSuccess;
}

/* --- memory: the device's, of which there is so much, and the host's that is pinned ---------------------------------- */

#define BLOCKS 65536
static struct block {
    char *start;
    size_t size;
    enum cudaMemoryType type;
} blocks[BLOCKS], *end_of_blocks = blocks;

static struct block *block_of(const void *address) {
    for (struct block *block = blocks; block < end_of_blocks; block++)
        if (block->start && (char *)address >= block->start && (char *)address < block->start + block->size)
            return block;
    return NULL;
}

static enum cudaMemoryType type_of(const void *address) {
    struct block *block = block_of(address);
    return block ? block->type : cudaMemoryTypeUnregistered;
}

static cudaError_t remember(void *start, size_t size, enum cudaMemoryType type) {
    struct block *block = blocks;
    while (block->start)
        if (++block == blocks + BLOCKS)
            abort();
    *block = (struct block){start, size, type};
    if (block == end_of_blocks)
        end_of_blocks++;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **address, size_t size) {
    pthread_mutex_lock(&lock);
    *address = held + size > capacity ? MAP_FAILED
               : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (*address == MAP_FAILED) {
        *address = NULL;
        last_error = cudaErrorMemoryAllocation;
    } else {
        held += size;
        add(mallocs, 1);
        remember(*address, size, cudaMemoryTypeDevice);
    }
    pthread_mutex_unlock(&lock);
    return *address ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *address) {
    pthread_mutex_lock(&lock);
    struct block *block = address ? block_of(address) : NULL;
    if (block) {
        munmap(block->start, block->size);
        held -= block->size;
        block->start = NULL;
    }
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
    return *free = capacity - held, *total = capacity, cudaSuccess;
}

cudaError_t cudaHostRegister(void *address, size_t size, unsigned flags) {
    pthread_mutex_lock(&lock);
    remember(address, size, cudaMemoryTypeHost);
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *address) {
    pthread_mutex_lock(&lock);
    struct block *block = block_of(address);
    if (block)
        block->start = NULL;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **address, size_t size, unsigned flags) {
    *address = aligned_alloc(4096, (size + 4095) & ~4095ull);
    return cudaHostRegister(*address, size, flags);
}

cudaError_t cudaFreeHost(void *address) {
    cudaHostUnregister(address);
    free(address);
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *of, const void *address) {
    *of = (struct cudaPointerAttributes){
        .type = type_of(address), .devicePointer = (void *)address, .hostPointer = (void *)address};
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) {
    enum cudaMemoryType source = type_of(from), target = type_of(to);
    if (target == cudaMemoryTypeDevice && source != cudaMemoryTypeDevice) {
        add(h2d, 1), add(h2d_bytes, size);
        add(h2d_pageable, source == cudaMemoryTypeUnregistered);
    } else if (target != cudaMemoryTypeDevice && source == cudaMemoryTypeDevice) {
        add(d2h, 1), add(d2h_bytes, size);
    } else {
        add(d2d, 1);
    }
    memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
    waited();
    return cudaMemcpyAsync(to, from, size, kind, NULL);
}

cudaError_t cudaMemset(void *at, int value, size_t size) { return add(memsets, 1), cudaSuccess; }
cudaError_t cudaMemsetAsync(void *at, int value, size_t size, cudaStream_t s) { return add(memsets, 1), cudaSuccess; }
cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t size, size_t offset,
                               enum cudaMemcpyKind kind) {
    return cudaSuccess;
}
cudaError_t cudaGetSymbolAddress(void **address, const void *symbol) {
    static char room[1 << 20];
    return *address = room, cudaSuccess;
}

/* --- kernels: what nvcc writes around them ------------------------------------------------------------------------- */

void **__cudaRegisterFatBinary(void *binary) {
    static void *handle[4];
    return handle;
}
void __cudaRegisterFatBinaryEnd(void **handle) {}
void __cudaUnregisterFatBinary(void **handle) {}
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int a, size_t b, int c, int d) {}
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int limit, void *a,
                            void *b, void *c, void *d, int *warp) {
    fake_register(host, name);
}

/* <<<grid, block, shared, stream>>> pushes these, and the function that it calls pops them. */
static __thread struct {
    dim3 grid, block;
    size_t shared;
    void *stream;
} pushed[8];
static __thread int depth;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
    pushed[depth].grid = grid, pushed[depth].block = block;
    pushed[depth].shared = shared, pushed[depth++].stream = stream;
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
    *grid = pushed[--depth].grid, *block = pushed[depth].block;
    *shared = pushed[depth].shared, *(void **)stream = pushed[depth].stream;
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(const void **kernel, const void *function) { return *kernel = function, cudaSuccess; }
cudaError_t __cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, void *s) {
    return fake_launch(function), cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared,
                             cudaStream_t s) {
    return fake_launch(function), cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
    return fake_launch(function), cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) {
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *of, const void *function) {
    int version = 10 * major + minor;
    *of = (struct cudaFuncAttributes){.maxThreadsPerBlock = 1024, .numRegs = 32, .ptxVersion = version,
                                      .binaryVersion = version, .maxDynamicSharedSizeBytes = shared_memory};
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int size, size_t shared) {
    return *blocks = 2, cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int size,
                                                                   size_t shared, unsigned flags) {
    return *blocks = 2, cudaSuccess;
}

/* --- cuBLAS and cuBLASLt: statuses and enums are ints, handles and descriptors are pointers ---------------------------- */

#define SUCCEEDS(name) \
    int name() { return 0; }
#define MULTIPLIES(name) \
    int name() { return add(gemms, 1), 0; }
#define CREATES(name) \
    int name(void **made) { return *made = calloc(1, 4096), 0; }
#define DESTROYS(name) \
    int name(void *made) { return free(made), 0; }

CREATES(cublasCreate_v2)
DESTROYS(cublasDestroy_v2)
SUCCEEDS(cublasSetStream_v2)
SUCCEEDS(cublasSetWorkspace_v2)
SUCCEEDS(cublasSetMathMode)
SUCCEEDS(cublasSetPointerMode_v2)
int cublasGetMathMode(void *handle, int *mode) { return *mode = 0, 0; }
int cublasGetPointerMode_v2(void *handle, int *mode) { return *mode = 0, 0; }
MULTIPLIES(cublasSgemm_v2)
MULTIPLIES(cublasDgemm_v2)
MULTIPLIES(cublasSgemv_v2)
MULTIPLIES(cublasSgemmEx)
MULTIPLIES(cublasGemmEx)
MULTIPLIES(cublasGemmStridedBatchedEx)
MULTIPLIES(cublasSgemmStridedBatched)
MULTIPLIES(cublasSdot_v2)
MULTIPLIES(cublasDotEx)

MULTIPLIES(cublasLtMatmul)
size_t cublasLtGetVersion(void) { return 130100; }
CREATES(cublasLtMatmulDescCreate)
DESTROYS(cublasLtMatmulDescDestroy)
SUCCEEDS(cublasLtMatmulDescSetAttribute)
CREATES(cublasLtMatrixLayoutCreate)
DESTROYS(cublasLtMatrixLayoutDestroy)
SUCCEEDS(cublasLtMatrixLayoutSetAttribute)
CREATES(cublasLtMatmulPreferenceCreate)
DESTROYS(cublasLtMatmulPreferenceDestroy)
SUCCEEDS(cublasLtMatmulPreferenceSetAttribute)

struct heuristic { /* cublasLtMatmulHeuristicResult_t */
    uint64_t algorithm[8];
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
};
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference,
                                   int wanted, struct heuristic *found, int *count) {
    memset(found, 0, sizeof *found);
    return *count = 1, 0;
}
