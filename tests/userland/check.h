/* What the C tests share: told expectations, calls that must succeed, and a socket. */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int failures;

static void expect(bool holds, const char *what)
{
    int saved = errno;

    printf("%s: %s\n", what, holds ? "ok" : "FAILED");
    if (!holds)
        printf("  errno %s\n", strerror(saved));
    failures += !holds;
}

static int check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static int open_socket(void)
{
    return check(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), "socket");
}
