/*
 * Records, which are read by a fast way and by a general one. The first byte chooses: a container's state.json, which
 * both must read alike; an object whose members are cut out of its text, as JSON has them; a request for a network,
 * which is read again as it was.
 */
#include "net/helper/lease_json.c"

#include "monitor/state.c"

#include <stdint.h>

#include "base/mem.h"
#include "require_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void state(const struct str *text) {
    autojson j = NULL;
    struct monitor_state fast = {.pid = 0}, slow = {.pid = 0}, again = {.pid = 0};
    autostr struct str written = STR_INIT;
    if (parse_own(text, &fast)) {
        autoerr bad = json_parse(str_c(text), text->len, file, 0, &j);
        autoerr wrong = bad ? NULL : parse(j, &slow);
        require(!bad && !wrong && memcmp(&fast, &slow, sizeof fast) == 0);
    }
    autoerr e = monitor_state_parse(text, &slow);
    autojson own = state_json(&slow);
    json_render(own, JSON_COMPACT, &written);
    autoerr e2 = monitor_state_parse(&written, &again);
    require(!e && !e2 && str_eq(slow.status, again.status) && slow.pid == again.pid && slow.started == again.started);
}

static void members(const char *text, size_t n) {
    struct json_field f[] = {{.key = "Name"}, {.key = "Labels"}, {.key = "CreatedNs"}};
    autofree char *copy = mem_dupn(text, n);
    autojson j = NULL;
    if (!json_cut(copy, n, f, ARRAY_LEN(f)))
        return;
    autoerr e = json_parse(text, n, "record", 0, &j);
    for (size_t i = 0; !e && i < ARRAY_LEN(f); i++) {
        const struct json *m = json_get(j, f[i].key);
        const char *want = json_str_value(m);
        require(!m == !f[i].text && (!want || (f[i].string && str_eq(f[i].text, want))));
    }
}

static void request(const char *text, size_t n) {
    struct lease l = {.id = NULL}, again = {.id = NULL};
    autojson j = NULL;
    autoerr bad = json_parse(text, n, "request", 0, &j);
    autoerr e = bad ? NULL : lease_parse(&l, j);
    if (!bad && !e) {
        autojson written = restore_json(&l);
        autoerr e2 = lease_parse(&again, written);
        require(!e2 && again.n_ports == l.n_ports && str_eq(again.name, l.name) && again.dns.n == l.dns.n);
    }
    struct lease *const both[] = {&l, &again};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        for (size_t k = 0; k < both[i]->n_ports; k++) {
            free(both[i]->ports[k].proto);
            free(both[i]->ports[k].host_ip);
        }
        free(both[i]->ports);
        free(both[i]->id);
        free(both[i]->name);
        free(both[i]->hostname);
        strv_done(&both[i]->dns);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autostr struct str text = STR_INIT;
    if (size < 1)
        return 0;
    str_append_n(&text, data + 1, size - 1);
    if (data[0] == 's')
        state(&text);
    else if (data[0] == 'm')
        members(str_c(&text), strlen(str_c(&text)));
    else
        request(str_c(&text), text.len);
    return 0;
}
