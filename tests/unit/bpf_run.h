/* bpf_run: an interpreter of the classic BPF that our compiler and libseccomp's emit. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct program {
    struct sock_filter *f;
    size_t n;
};

static bool jump_taken(const struct sock_filter *f, uint32_t acc) {
    switch (BPF_OP(f->code)) {
    case BPF_JEQ:
        return acc == f->k;
    case BPF_JGT:
        return acc > f->k;
    case BPF_JGE:
        return acc >= f->k;
    default:
        return (acc & f->k) != 0;
    }
}

/* Returns the action, or 0xdeadbeef for a program that the kernel would refuse. */
static uint32_t run(const struct program *p, const struct seccomp_data *d) {
    uint32_t acc = 0;
    for (size_t pc = 0; pc < p->n; pc++) {
        const struct sock_filter *f = &p->f[pc];
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            if (f->code != (BPF_LD | BPF_W | BPF_ABS) || f->k % 4 || f->k >= sizeof *d)
                return 0xdeadbeef;
            memcpy(&acc, (const char *)d + f->k, sizeof acc);
            break;
        case BPF_ALU:
            if (f->code != (BPF_ALU | BPF_AND | BPF_K))
                return 0xdeadbeef;
            acc &= f->k;
            break;
        case BPF_JMP:
            pc += BPF_OP(f->code) == BPF_JA ? f->k : jump_taken(f, acc) ? f->jt : f->jf;
            break;
        case BPF_RET:
            return f->k;
        default:
            return 0xdeadbeef;
        }
    }
    return 0xdeadbeef;
}
