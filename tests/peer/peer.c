#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

struct peer {
    pid_t process;
    FILE *to, *from;
    char *line;
    size_t room;
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "the peer: %s\n", what);
    exit(1);
}

/* In the child. */
static _Noreturn void become(const char *folder, bool threads, int in, int out)
{
    setenv("TOKENIZERS_PARALLELISM", threads ? "true" : "false", 1);
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0)
        execl(BT_START_PEER, BT_START_PEER, folder, (char *)NULL);
    perror(BT_START_PEER);
    _exit(1);
}

/* Empty lines are what the library's trainer prints of its progress. */
static json_t *read_answer(struct peer *peer)
{
    ssize_t size;
    do
        size = getline(&peer->line, &peer->room, peer->from);
    while (size == 1 && peer->line[0] == '\n');
    return size > 0 ? json_loadb(peer->line, (size_t)size, JSON_ALLOW_NUL, NULL) : NULL;
}

/* The first answer shows whether it runs. */
static bool is_there(struct peer *peer)
{
    fputs("{\"decode\": [], \"skip\": false}\n", peer->to);
    fflush(peer->to);
    json_t *answer = read_answer(peer);
    json_decref(answer);
    return answer;
}

struct peer *peer_start(const char *folder, bool threads)
{
    int requests[2], answers[2];
    struct peer *peer = calloc(1, sizeof *peer);
    signal(SIGPIPE, SIG_IGN);
    if (!peer || pipe2(requests, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
        give_up("no pipes");
    peer->process = fork();
    if (peer->process < 0)
        give_up("no process");
    if (peer->process == 0)
        become(folder, threads, requests[0], answers[1]);
    close(requests[0]);
    close(answers[1]);
    peer->to = fdopen(requests[1], "w");
    peer->from = fdopen(answers[0], "r");
    if (!peer->to || !peer->from)
        give_up("no streams");
    if (is_there(peer))
        return peer;
    peer_stop(peer);
    return NULL;
}

void peer_stop(struct peer *peer)
{
    if (!peer)
        return;
    fclose(peer->to);
    fclose(peer->from);
    waitpid(peer->process, NULL, 0);
    free(peer->line);
    free(peer);
}

json_t *peer_ask(struct peer *peer, json_t *request)
{
    char *text = bt_json_text(request, 0);
    if (!text || fputs(text, peer->to) == EOF || fputc('\n', peer->to) == EOF || fflush(peer->to))
        give_up("does not listen");
    bt_free(text);
    json_decref(request);
    json_t *answer = read_answer(peer);
    if (!answer)
        give_up("gave no answer");
    if (json_object_get(answer, "error"))
        give_up(json_string_value(json_object_get(answer, "error")));
    return answer;
}
