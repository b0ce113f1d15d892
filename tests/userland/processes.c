/*
 * processes.c - what programs do with themselves while they have SCTP sockets: fork, exec, spawn,
 * pass descriptors on, and end in every way that there is. Run by test_userland_calls.py, over any
 * stack. Exit status 0: all is as it should be.
 *
 * usage: processes: all tests; processes echo: answers on descriptor 0, as inetd's servers do.
 */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
static char *self;

static int wait_for(pid_t pid)
{
    int status = -1;

    check(waitpid(pid, &status, 0), "waitpid");
    return status;
}

static bool ended_well(pid_t pid)
{
    return wait_for(pid) == 0;
}

static void test_fork(void)
{
    int ends[2];

    connect_pair(ends);
    pid_t child = check(fork(), "fork");
    if (child == 0)
        _exit(talks(ends[0], ends[1]) ? 0 : 1);
    expect(ended_well(child), "a child uses its parent's sockets");
    expect(talks(ends[0], ends[1]) && talks(ends[1], ends[0]), "its end is not theirs");
    child = check(fork(), "fork");
    if (child == 0) {
        close(ends[1]);
        _exit(send(ends[0], "last", 4, 0) == 4 ? 0 : 1);
    }
    close(ends[0]);
    expect(ended_well(child) && drain(ends[1]) == 4, "a child has the last copy");
    close(ends[1]);
}

static void test_vfork(void)
{
    int ends[2];

    connect_pair(ends);
    for (int i = 0; i < 5; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execlp("true", "true", (char *)NULL);
            _exit(9);
        }
        expect(ended_well(child) && talks(ends[0], ends[1]), "vfork and exec beside a connection");
    }
    pid_t child = vfork();
    if (child == 0)
        _exit(send(ends[0], "v", 1, 0) == 1 ? 0 : 1);
    close(ends[0]);
    expect(ended_well(child) && drain(ends[1]) == 1, "send after vfork");
    close(ends[1]);
}

static void test_spawn(void)
{
    char *words[] = {"echo", "hello", NULL};
    posix_spawn_file_actions_t actions;
    char buffer[16];
    int ends[2];
    pid_t child;

    connect_pair(ends);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], 1);
    expect(posix_spawnp(&child, "echo", &actions, NULL, words, environ) == 0, "posix_spawn");
    expect(ended_well(child) && recv(ends[1], buffer, sizeof(buffer), 0) == 6 &&
               memcmp(buffer, "hello\n", 6) == 0,
           "a spawned program's stdout is a socket");
    posix_spawn_file_actions_destroy(&actions);
    expect(talks(ends[0], ends[1]), "that has ended, the socket has not");
    close_pair(ends);
}

/* The program behind exec: all that it knows of its socket is the number. */
static int echo(void)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);
    char buffer[256];
    ssize_t got;

    if (getpeername(0, (struct sockaddr *)&peer, &size) == -1 || peer.sin_family != AF_INET)
        return 2;
    while ((got = read(0, buffer, sizeof(buffer))) > 0)
        if (write(1, buffer, (size_t)got) != got)
            return 3;
    return got == 0 ? 0 : 4;
}

static void exec_with(int fd, const char *program, char *word)
{
    dup2(fd, 0);
    dup2(fd, 1);
    closefrom(3);
    execlp(program, program, word, (char *)NULL);
    _exit(9);
}

static void test_exec(const char *program, char *word, const char *what)
{
    char buffer[16] = "";
    int ends[2];

    connect_pair(ends);
    pid_t child = check(fork(), "fork");
    if (child == 0)
        exec_with(ends[1], program, word);
    close(ends[1]);
    expect(send(ends[0], "inetd", 5, 0) == 5 && recv(ends[0], buffer, 16, 0) == 5 &&
               strcmp(buffer, "inetd") == 0,
           what);
    shutdown(ends[0], SHUT_WR);
    expect(ended_well(child), "and sees the end of the file");
    close(ends[0]);
}

static void serve_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    pid_t pid = getpid();

    _exit(fd != -1 && send(fd, &pid, sizeof(pid), 0) == sizeof(pid) ? 0 : 1);
}

static void test_prefork(void)
{
    struct sockaddr_in address;
    int listener = open_listener(&address);
    pid_t workers[3], served;
    int seen = 0;

    for (int i = 0; i < 3; i++) {
        workers[i] = check(fork(), "fork");
        if (workers[i] == 0)
            serve_one(listener);
    }
    close(listener);
    for (int i = 0; i < 3; i++) {
        int fd = connect_to(&address);
        expect(recv(fd, &served, sizeof(served), 0) == sizeof(served), "served");
        for (int k = 0; k < 3; k++)
            seen |= (served == workers[k]) << k;
        close(fd);
    }
    expect(seen == 7, "each of three that accept serves one");
    for (int i = 0; i < 3; i++)
        expect(ended_well(workers[i]), "a worker ends");
    int fd = open_socket();
    expect(fails(connect(fd, (struct sockaddr *)&address, sizeof(address)), ECONNREFUSED),
           "no copy of the listener is left");
    close(fd);
}

static void become_daemon(void)
{
    if (fork() != 0)
        _exit(0);
    setsid();
    if (fork() != 0)
        _exit(0);
    if (chdir("/") == -1)
        _exit(1);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
}

static void test_daemon(void)
{
    struct sockaddr_in address;
    int listener = open_listener(&address);
    pid_t served, child = check(fork(), "fork");

    if (child == 0) {
        become_daemon();
        serve_one(listener);
    }
    close(listener);
    expect(ended_well(child), "the daemon's parent ends");
    int fd = connect_to(&address);
    expect(recv(fd, &served, sizeof(served), 0) == sizeof(served) && served != child &&
               drain(fd) == 0,
           "a daemon serves on the socket that it was born with");
    close(fd);
}

/* As nobody, with a socket that root has opened. */
static void serve_as_nobody(int listener, int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address), size = sizeof(int);
    struct linger linger = {.l_onoff = 1, .l_linger = 5};
    int on = 1;

    if (setgid(65534) == -1 || setuid(65534) == -1 ||
        getpeername(fd, (struct sockaddr *)&address, &length) == -1 ||
        setsockopt(fd, IPPROTO_SCTP, 3 /* SCTP_NODELAY */, &on, size) == -1 ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &on, &size) == -1 || send(fd, "1", 1, 0) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == -1)
        _exit(1);
    int accepted = accept(listener, NULL, NULL);
    _exit(getpeername(accepted, (struct sockaddr *)&address, &length) == -1 || close(fd) == -1 ||
          shutdown(accepted, SHUT_WR) == -1);
}

static void test_giving_up_rights(void)
{
    struct sockaddr_in address;
    int listener = open_listener(&address);

    if (geteuid() != 0)
        return;
    int first = connect_to(&address), accepted = check(accept(listener, NULL, NULL), "accept");
    pid_t child = check(fork(), "fork");
    if (child == 0)
        serve_as_nobody(listener, accepted);
    close(accepted);
    close(listener);
    int second = connect_to(&address);
    expect(drain(first) == 1 && drain(second) == 0, "a server that was root serves as nobody");
    expect(ended_well(child), "all of its calls succeed");
    close(first);
    close(second);
}

/* ---- descriptors that are passed on */

struct parcel {
    char byte;
    struct iovec part;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static struct msghdr *wrap(struct parcel *parcel)
{
    *parcel = (struct parcel){.byte = 'd'};
    parcel->part = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->part,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof(parcel->control)};
    return &parcel->message;
}

static int pass_on(int way, int fd)
{
    struct parcel parcel;
    struct msghdr *message = wrap(&parcel);

    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    *head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    return sendmsg(way, message, 0) == 1 ? 0 : -1;
}

static int take_over(int way)
{
    struct parcel parcel;
    struct msghdr *message = wrap(&parcel);
    int fd = -1;

    if (recvmsg(way, message, 0) == 1 && message->msg_controllen > 0)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof(fd));
    return fd;
}

static void test_passing_on(void)
{
    struct sockaddr_in address, name;
    socklen_t size = sizeof(name);
    int way[2], listener = open_listener(&address);

    check(socketpair(AF_UNIX, SOCK_STREAM, 0, way), "socketpair");
    pid_t child = check(fork(), "fork");
    if (child == 0)
        _exit(pass_on(way[1], listener) == 0 && pass_on(way[1], connect_to(&address)) == 0 ? 0 : 1);
    close(listener);
    int passed_listener = take_over(way[0]), client = take_over(way[0]);
    expect(ended_well(child), "who passed them on has ended");
    expect(getsockname(passed_listener, (struct sockaddr *)&name, &size) == 0 &&
               name.sin_port == address.sin_port,
           "a listener that was passed on has its name");
    int accepted = check(accept(passed_listener, NULL, NULL), "accept");
    expect(talks(client, accepted) && talks(accepted, client), "a connection that was passed on");
    close(client);
    expect(drain(accepted) == 0, "and its end");
    close(accepted);
    close(passed_listener);
    close_pair(way);
}

/* ---- ends */

#define MESSAGE_SIZE 1000
#define MESSAGES 100 /* as much as all buffers can hold */

static void end_by_exec(void)
{
    execlp("true", "true", (char *)NULL);
}

static void end_by_exit(void)
{
    exit(0);
}

static void end_by_underscore_exit(void)
{
    _exit(0);
}

static void end_by_quick_exit(void)
{
    quick_exit(0);
}

static void end_by_sigterm(void)
{
    raise(SIGTERM);
}

static void end_by_sigkill(void)
{
    raise(SIGKILL);
}

static void end_by_abort(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void send_and_end(const struct sockaddr_in *address, void (*end)(void))
{
    char message[MESSAGE_SIZE] = "";
    int fd = connect_to(address);

    fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (int i = 0; i < MESSAGES; i++)
        if (send(fd, message, sizeof(message), 0) != sizeof(message))
            _exit(1);
    end();
}

/* All that was sent arrives, then the end of the file, however the program has ended. */
static void test_end(void (*end)(void), int status, const char *what)
{
    struct sockaddr_in address;
    int listener = open_listener(&address);
    pid_t child = check(fork(), "fork");

    if (child == 0) {
        close(listener);
        send_and_end(&address, end);
    }
    int fd = check(accept(listener, NULL, NULL), "accept");
    expect(wait_for(child) == status, what);
    expect(drain(fd) == MESSAGES * MESSAGE_SIZE, "everything arrives, then the end of the file");
    close(fd);
    close(listener);
}

static void test_all_ends(void)
{
    test_end(end_by_exit, 0, "exit");
    test_end(end_by_underscore_exit, 0, "_exit");
    test_end(end_by_quick_exit, 0, "quick_exit");
    test_end(end_by_exec, 0, "exec, and the socket is close-on-exec");
    test_end(end_by_sigterm, SIGTERM, "SIGTERM");
    test_end(end_by_sigkill, SIGKILL, "SIGKILL");
    test_end(end_by_abort, SIGABRT, "abort");
}

/* The peer sees a reset, not the end of the file. */
static void test_rude_end(bool reads_nothing, const char *what)
{
    struct sockaddr_in address;
    struct linger at_once = {.l_onoff = 1};
    int listener = open_listener(&address);
    pid_t child = check(fork(), "fork");

    if (child == 0) {
        int fd = connect_to(&address);
        char message[6];
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1); // it has been accepted
        if (!reads_nothing) {
            recv(fd, message, sizeof(message), 0);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        }
        _exit(0);
    }
    int fd = check(accept(listener, NULL, NULL), "accept");
    check((int)send(fd, "unread", 6, 0), "send");
    expect(fails(drain(fd), ECONNRESET), what);
    expect(ended_well(child), "it has ended");
    close(fd);
    close(listener);
}

/* ---- exit while a thread waits */

static int witness[2];

static void *receive_and_tell(void *argument)
{
    char byte;
    ssize_t got = recv(*(int *)argument, &byte, 1, 0);

    (void)!write(witness[1], &got, 1);
    return NULL;
}

/* Until the other thread of the process sleeps. */
static void await_sleep(pid_t pid)
{
    char path[64], line[256] = "";

    for (;;) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)getpid(), (int)pid);
        FILE *file = fopen(path, "r");
        if (file != NULL && fgets(line, sizeof(line), file) != NULL &&
            strstr(line, ") S ") != NULL) {
            fclose(file);
            return;
        }
        if (file != NULL)
            fclose(file);
        usleep(1000);
    }
}

static void *note_and_receive(void *argument)
{
    *(pid_t *)((int *)argument + 1) = gettid();
    return receive_and_tell(argument);
}

static void exit_beside_a_thread(int fd)
{
    static struct {
        int fd;
        volatile pid_t thread;
    } shared;
    pthread_t thread;

    shared.fd = fd;
    pthread_create(&thread, NULL, note_and_receive, &shared);
    while (shared.thread == 0)
        usleep(1000);
    await_sleep(shared.thread);
    exit(3);
}

static void test_exit_beside_a_thread(void)
{
    int ends[2];
    char byte;

    connect_pair(ends);
    check(pipe(witness), "pipe");
    fflush(stdout);
    pid_t child = check(fork(), "fork");
    if (child == 0) {
        close(ends[0]);
        close(witness[0]);
        exit_beside_a_thread(ends[1]);
    }
    close(ends[1]);
    close(witness[1]);
    expect(WEXITSTATUS(wait_for(child)) == 3, "exit while a thread waits");
    expect(read(witness[0], &byte, 1) == 0, "the thread sees nothing of it");
    expect(drain(ends[0]) == 0, "the peer sees the end of the file");
    close(ends[0]);
    close(witness[0]);
}

int main(int argc, char *argv[])
{
    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "echo") == 0)
        return echo();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0); /* else each child would print what its parent has not yet */
    test_fork();
    test_vfork();
    test_spawn();
    test_exec(self, "echo", "a program with a socket for stdin and stdout");
    test_exec("cat", NULL, "a program that knows nothing of sockets");
    test_prefork();
    test_daemon();
    test_giving_up_rights();
    test_passing_on();
    test_all_ends();
    test_rude_end(true, "unread data: a reset");
    test_rude_end(false, "SO_LINGER {1, 0}: a reset");
    test_exit_beside_a_thread();
    return failures != 0;
}
