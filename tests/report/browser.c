#include "browser.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/json.h"
#include "support.h"

enum { PATIENCE_S = 120 };

struct browser {
    pid_t pid;
    int to, from; /* messages end with a NUL byte */
    char *buffer; /* what came and was not taken yet */
    size_t size, room;
    int64_t last_id;
    char *session;
    time_t until;
    struct browser_page *page;
    char url[4200];
    bool loaded;
};

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

const char *browser_find(void)
{
    static char path[4096];
    const char *given = getenv("BT_CHROMIUM"), *folders = getenv("PATH");
    if (given && *given)
        return is_program(given) ? given : NULL;
    while (folders && *folders) {
        const size_t length = strcspn(folders, ":");
        snprintf(path, sizeof path, "%.*s/chromium", (int)length, folders);
        if (is_program(path))
            return path;
        folders += length + (folders[length] == ':');
    }
    return NULL;
}

/* ---- the process ---- */

/* The ends that the browser has are 3 (commands) and 4 (answers). */
static void become_browser(const char *browser, const char *folder, int commands, int answers)
{
    char profile[4200];
    snprintf(profile, sizeof profile, "--user-data-dir=%s/profile", folder);
    const int silent = open("/dev/null", O_RDWR), in = fcntl(commands, F_DUPFD, 10), out = fcntl(answers, F_DUPFD, 10);
    dup2(silent, 0);
    dup2(silent, 1);
    dup2(silent, 2);
    dup2(in, 3);
    dup2(out, 4);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not get to stop it */
    execl(browser, browser, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
          "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
          profile, "about:blank", (char *)NULL);
    _exit(127);
}

static void start(struct browser *b, const char *browser, const char *folder)
{
    int commands[2], answers[2];
    assert_int_equal(pipe2(commands, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    b->pid = fork();
    assert_true(b->pid >= 0);
    if (b->pid == 0)
        become_browser(browser, folder, commands[0], answers[1]);
    close(commands[0]);
    close(answers[1]);
    b->to = commands[1];
    b->from = answers[0];
    b->until = time(NULL) + PATIENCE_S;
}

static void stop(struct browser *b)
{
    close(b->to);
    close(b->from);
    kill(-b->pid, SIGKILL); /* the group is its own: with all the processes it started */
    waitpid(b->pid, NULL, 0);
    free(b->buffer);
    free(b->session);
}

/* ---- messages ---- */

static void send_text(struct browser *b, const char *text)
{
    size_t size = strlen(text) + 1;
    while (size) {
        const ssize_t sent = write(b->to, text, size);
        if (sent < 0 && errno != EINTR)
            fail_msg("the browser has gone: %s", strerror(errno));
        text += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
}

static void receive(struct browser *b)
{
    struct pollfd wait = {.fd = b->from, .events = POLLIN};
    const time_t now = time(NULL);
    if (now >= b->until || poll(&wait, 1, (int)(b->until - now) * 1000) == 0)
        fail_msg("the browser did not answer in %d seconds", PATIENCE_S);
    if (b->room - b->size < 65536) {
        b->room = 2 * b->room + 65536;
        b->buffer = realloc(b->buffer, b->room);
        assert_non_null(b->buffer);
    }
    const ssize_t got = read(b->from, b->buffer + b->size, b->room - b->size);
    if (got == 0)
        fail_msg("the browser ended");
    b->size += got > 0 ? (size_t)got : 0;
}

static json_t *next_message(struct browser *b)
{
    const char *end;
    json_t *message = NULL;
    struct bt_diag diag = {""};
    while (!b->size || !(end = memchr(b->buffer, '\0', b->size)))
        receive(b);
    const size_t length = (size_t)(end - b->buffer);
    TEST_OK(bt_json_parse(b->buffer, length, "answer", &message, &diag), diag);
    b->size -= length + 1;
    memmove(b->buffer, end + 1, b->size);
    return message;
}

static void note(struct browser *b, size_t *count, const json_t *what)
{
    char *text = bt_json_text(what, JSON_COMPACT);
    ++*count;
    if (text && !b->page->first[0])
        snprintf(b->page->first, sizeof b->page->first, "%s", text);
    bt_free(text);
}

static void take_event(struct browser *b, const char *method, const json_t *params)
{
    const char *url = json_string_value(json_object_get(json_object_get(params, "request"), "url"));
    const char *level = json_string_value(json_object_get(json_object_get(params, "entry"), "level"));
    if (!strcmp(method, "Page.loadEventFired"))
        b->loaded = true;
    else if (!strcmp(method, "Network.requestWillBeSent") && url && strcmp(url, b->url) != 0 &&
             strncmp(url, "data:", 5) != 0)
        note(b, &b->page->requests, params);
    else if (!strcmp(method, "Runtime.exceptionThrown") || !strcmp(method, "Runtime.consoleAPICalled"))
        note(b, &b->page->complaints, params);
    else if (!strcmp(method, "Log.entryAdded") && level && (!strcmp(level, "error") || !strcmp(level, "warning")))
        note(b, &b->page->complaints, params);
}

/* Takes messages until the answer to the last call has come, or, without a call, the page is loaded. The result is
 * borrowed from *ret_message, which the caller gives back. */
static const json_t *wait_for(struct browser *b, bool call, json_t **ret_message)
{
    for (;;) {
        json_t *message = next_message(b);
        const char *method = json_string_value(json_object_get(message, "method"));
        const json_t *id = json_object_get(message, "id");
        if (method)
            take_event(b, method, json_object_get(message, "params"));
        *ret_message = message;
        if (call && id && json_integer_value(id) == b->last_id)
            return json_object_get(message, "result");
        if (!call && b->loaded)
            return NULL;
        json_decref(message);
    }
}

/* params: an object as JSON text. A copy of a text in the result, or NULL. */
static char *call(struct browser *b, const char *method, const char *params, const char *object, const char *key)
{
    const char *session = b->session ? test_format(",\"sessionId\":\"%s\"", b->session) : "";
    json_t *message = NULL;
    b->last_id++;
    send_text(b, test_format("{\"id\":%lld,\"method\":\"%s\",\"params\":%s%s}", (long long)b->last_id, method, params,
                             session));
    const json_t *result = wait_for(b, true, &message);
    if (!result)
        fail_msg("the browser refused %s", method);
    const char *text =
        key ? json_string_value(json_object_get(object ? json_object_get(result, object) : result, key)) : NULL;
    char *copy = text ? strdup(text) : NULL;
    json_decref(message);
    return copy;
}

void browser_open(const char *browser, const char *path, const char *folder, struct browser_page *page)
{
    struct browser b = {.page = page};
    json_t *message = NULL;
    *page = (struct browser_page){0};
    snprintf(b.url, sizeof b.url, "file://%s", path);
    start(&b, browser, folder);
    char *target = call(&b, "Target.createTarget", "{\"url\":\"about:blank\"}", NULL, "targetId");
    assert_non_null(target);
    b.session = call(&b, "Target.attachToTarget", test_format("{\"targetId\":\"%s\",\"flatten\":true}", target), NULL,
                     "sessionId");
    assert_non_null(b.session);
    free(target);
    call(&b, "Network.enable", "{}", NULL, NULL);
    call(&b, "Log.enable", "{}", NULL, NULL);
    call(&b, "Runtime.enable", "{}", NULL, NULL);
    call(&b, "Page.enable", "{}", NULL, NULL);
    b.loaded = false;
    call(&b, "Page.navigate", test_format("{\"url\":\"%s\"}", b.url), NULL, NULL);
    if (!b.loaded) {
        wait_for(&b, false, &message);
        json_decref(message);
    }
    page->dom =
        call(&b, "Runtime.evaluate", "{\"expression\":\"document.documentElement.outerHTML\"}", "result", "value");
    assert_non_null(page->dom);
    stop(&b);
}
