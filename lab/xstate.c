/*
 * xstate.c - lets User Mode Linux run where the processor has more registers than it knows of.
 *
 * User Mode Linux 6.1 has room for 2,696 bytes of them, all up to AVX-512. With AMX there are 11,008,
 * and Linux sets all of a process' registers or none (ptrace(2), PTRACE_SETREGSET: EFAULT). Those of
 * AMX are in use by processes only that have asked for them, which none of User Mode Linux' can: they
 * are set to their initial state, which is zeros.
 *
 * lab/run compiles this file and preloads it into linux.uml.
 */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REGISTERS_MAX 65536

static long set_all_registers(long pid, unsigned long kind, const struct iovec *known)
{
    static char registers[REGISTERS_MAX];
    static size_t size; /* 0: not asked for yet */
    struct iovec all = {registers, sizeof(registers)};

    if (size == 0) {
        if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, kind, &all) == -1)
            return -1;
        size = all.iov_len;
        memset(registers, 0, size);
    }
    if (known->iov_len > size) {
        errno = EFAULT;
        return -1;
    }
    all.iov_len = size;
    memcpy(registers, known->iov_base, known->iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, &all);
}

/* ptrace(2), as libc has it: what is read from memory is the call's value. */
long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    long word;

    va_start(arguments, request);
    long pid = va_arg(arguments, int);
    unsigned long address = va_arg(arguments, unsigned long);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (request == PTRACE_SETREGSET && address == NT_X86_XSTATE)
        return set_all_registers(pid, address, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return syscall(SYS_ptrace, request, pid, address, data);
    errno = 0;
    return syscall(SYS_ptrace, request, pid, address, &word) == -1 ? -1 : word;
}
