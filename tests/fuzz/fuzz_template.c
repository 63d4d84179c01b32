/* --format: any text, over an object with everything in it; as rows do it and as inspect does it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/template_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char object[] =
    "{\"ID\":\"0123456789ab\",\"Name\":\"caf\\u00e9\",\"Empty\":\"\",\"Zero\":0,\"N\":-42,\"Big\":9223372036854775807,"
    "\"F\":1.5,\"Yes\":true,\"No\":false,\"Nil\":null,\"List\":[\"a\",\"b\",[1,2]],\"None\":[],\"Labels\":\"a=b,c=d\","
    "\"__labels\":{\"a\":\"b\"},\"Config\":{\"Env\":[\"A=1\",\"B=2\"],\"Labels\":{\"z\":\"1\",\"a\":\"2\"}},"
    "\"Ports\":{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}],\"81/tcp\":null}}";

static void execute(const struct template *t, const struct json *j, int flags) {
    autostr struct str out = STR_INIT;
    autoerr e = template_execute_with(t, j, flags, &out);
    if (e && err_kind(e) != ERR_USAGE)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autofree char *text = mem_dupn(size ? (const char *)data : "", size);
    struct template *t = NULL;
    autoerr e = template_parse(text, &t);
    if (e) {
        if (t || err_kind(e) != ERR_USAGE)
            abort();
        return 0;
    }
    autojson j = NULL;
    autoerr bad = json_parse(object, strlen(object), "object", JSON_REFUSE_DUPLICATES, &j);
    if (bad)
        abort();
    execute(t, j, 0);
    execute(t, j, TEMPLATE_INSPECT);
    execute(t, j, TEMPLATE_ROW);
    template_free(t);
    return 0;
}
