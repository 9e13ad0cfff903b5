/* Cuts the network of a process and of its children, and notes who wanted it: preloaded.

   Loopback and sockets of files go through; ZOO_WIRE names the file of the notes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void note(const char *deed, const char *whom)
{
    const char *path = getenv("ZOO_WIRE");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%s %s\n", deed, whom);
        fclose(file);
    }
}

/* Whether the address leads out of this machine; its text. */
static int leads_out(const struct sockaddr *address, char *text, socklen_t size)
{
    if (!address)
        return 0;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, size);
        return (ntohl(in->sin_addr.s_addr) >> 24) != 127 && in->sin_addr.s_addr != INADDR_ANY;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, text, size);
        return !IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
    }
    return 0;
}

int connect(int socket, const struct sockaddr *address, socklen_t size)
{
    static int (*usual)(int, const struct sockaddr *, socklen_t);
    char text[INET6_ADDRSTRLEN] = "";
    if (leads_out(address, text, sizeof text)) {
        note("connect", text);
        errno = ENETUNREACH;
        return -1;
    }
    if (!usual)
        usual = dlsym(RTLD_NEXT, "connect");
    return usual(socket, address, size);
}

ssize_t sendto(int socket, const void *data, size_t nbytes, int flags,
               const struct sockaddr *address, socklen_t size)
{
    static ssize_t (*usual)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    char text[INET6_ADDRSTRLEN] = "";
    if (leads_out(address, text, sizeof text)) {
        note("sendto", text);
        errno = ENETUNREACH;
        return -1;
    }
    if (!usual)
        usual = dlsym(RTLD_NEXT, "sendto");
    return usual(socket, data, nbytes, flags, address, size);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static int (*usual)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct in_addr four;
    struct in6_addr six;
    if (node && strcmp(node, "localhost") && inet_pton(AF_INET, node, &four) != 1 &&
        inet_pton(AF_INET6, node, &six) != 1) {
        note("getaddrinfo", node);
        return EAI_NONAME;
    }
    if (!usual)
        usual = dlsym(RTLD_NEXT, "getaddrinfo");
    return usual(node, service, hints, found);
}
