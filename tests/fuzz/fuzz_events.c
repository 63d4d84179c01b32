/* A line of the journal of events: rubbish is no event, and what is one has the members that readers rely on. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/str.h"
#include "engine/events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    autojson j = events_parse((const char *)data, size);
    if (!j)
        return 0;
    if (!json_str_value(json_get(j, "Type")) || !json_str_value(json_get(j, "Action")) ||
        !json_str_value(json_path(j, "Actor.ID")) || json_type(json_get(j, "timeNano")) != JSON_NUMBER)
        abort();
    JSON_EACH(a, json_path(j, "Actor.Attributes"))
    if (!json_str_value(a))
        abort();
    autostr struct str text = STR_INIT;
    json_render(j, JSON_COMPACT, &text);
    autojson again = events_parse(str_c(&text), text.len);
    if (!again)
        abort();
    return 0;
}
