/*
 * fuzz_seccomp: the input is a profile. What comes out is an error, no filter, or a program that the kernel would take:
 * every jump lands inside, every load is aligned, every path ends in a return.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "require_fixture.h"
#include "runtime/runtime.h"
#include "runtime/seccomp_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_instruction(const struct sock_filter *f, size_t left) {
    switch (f->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        require(f->k % 4 == 0 && f->k < sizeof(struct seccomp_data));
        break;
    case BPF_JMP | BPF_JA:
        require(f->k < left);
        break;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_K:
        require(f->jt < left && f->jf < left);
        break;
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_RET | BPF_K:
        break;
    default:
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn((const char *)data, size);
    autofree struct sock_filter *f = NULL;
    size_t n = 0;
    autoerr e = runtime_seccomp_compile(text, size ? (uint64_t)data[size - 1] << 20 : 0, &f, &n, NULL);
    if (e)
        return 0;
    require(n <= SECCOMP_PROGRAM_MAX && (n == 0 || f[n - 1].code == (BPF_RET | BPF_K)));
    for (size_t i = 0; i < n; i++)
        check_instruction(&f[i], n - i - 1);
    return 0;
}
