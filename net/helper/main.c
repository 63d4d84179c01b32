/* main: coracle-net is started by the first monitor that needs it (net/net.h), with the listening socket as
 * descriptor 3. */
#include <stdio.h>

int main(void) {
    (void)fprintf(stderr, "coracle-net is started by coracle, which passes it a socket\n");
    return 2;
}
