/*
 * nft_int: rules of nftables, said expression by expression. A batch is a transaction: all of it or nothing.
 *
 *     struct nft_batch b;
 *     nft_batch_begin(&b);
 *     nft_rule(&b, "forward");
 *     nft_meta(&b, NFT_META_IIFNAME);      loads register 1
 *     nft_cmp(&b, NFT_CMP_EQ, "br-", 3);   ends the rule here unless it is equal
 *     nft_verdict(&b, NF_DROP);
 *     nft_rule_end(&b);
 *     int e = nft_batch_send(&b, s);       0 or an errno
 *
 * Everything belongs to the table `inet coracle`. The rules are ours and fixed: a batch's room is known to be enough.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;
struct nlattr;
struct nlmsghdr;

#define NFT_TABLE "coracle"

struct nft_batch {
    _Alignas(8) char bytes[16384];
    size_t len;
    uint32_t first, seq;                         /* of the transaction before, of the last message */
    struct nlmsghdr *message;                    /* the last one */
    struct nlattr *expressions, *element, *data; /* open nests */
};

struct nft_chain {
    const char *name, *type; /* "filter", "nat" */
    unsigned hook;           /* NF_INET_… */
    int priority;
};

void nft_batch_begin(struct nft_batch *b);
int nft_batch_send(struct nft_batch *b, struct mnl_socket *s);
/* Whether a chain is there, asked without a transaction: one that fails costs 15 ms. What the batch held is lost. */
bool nft_has_chain(struct nft_batch *b, struct mnl_socket *s, const char *name);
void nft_table(struct nft_batch *b, bool add);
/* The batch fails with EEXIST when the chain is there already. */
void nft_chain(struct nft_batch *b, const struct nft_chain *c);
/* A set of interface names, and an element of it. */
void nft_set_of_names(struct nft_batch *b, const char *name);
void nft_element(struct nft_batch *b, bool add, const char *set, const char *name);

void nft_rule(struct nft_batch *b, const char *chain);
void nft_rule_end(struct nft_batch *b);
/* Loads. */
void nft_meta(struct nft_batch *b, enum nft_meta_keys key);
void nft_ct_state(struct nft_batch *b);
void nft_transport(struct nft_batch *b, unsigned offset, unsigned n);
void nft_network(struct nft_batch *b, unsigned offset, unsigned n);
void nft_fib(struct nft_batch *b, enum nft_fib_result result, unsigned flags);
/* Changes and comparisons. */
void nft_and(struct nft_batch *b, const void *mask, size_t n);
void nft_cmp(struct nft_batch *b, enum nft_cmp_ops op, const void *data, size_t n);
void nft_lookup(struct nft_batch *b, const char *set, bool inverted);
/* Writes a port into the transport header, whose checksum is at `checksum`. */
void nft_set_port(struct nft_batch *b, unsigned offset, unsigned checksum, uint16_t port);
/* Ends. */
void nft_verdict(struct nft_batch *b, int verdict);
void nft_reject(struct nft_batch *b, enum nft_reject_types type, enum nft_reject_inet_code code);
void nft_redirect(struct nft_batch *b, uint16_t port);
void nft_masquerade(struct nft_batch *b);
void nft_queue(struct nft_batch *b, uint16_t number);
/* A target of xtables, for what nftables was built without. */
void nft_target(struct nft_batch *b, const char *name, unsigned revision, const void *info, size_t n);
