/* text/chat_template: well-known templates in the forms in which they are passed on, and those that only look like
 * them. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat_template.h"

#define CHATML                                                                                                         \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "   \
    "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define LLAMA3_LOOP                                                                                                    \
    "{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "    \
    "message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}"
#define LLAMA2(condition)                                                                                              \
    "{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}" condition              \
    "{% for message in loop_messages %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + "        \
    "message['content'] %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == "       \
    "'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
#define MISTRAL(before, after, answer)                                                                                 \
    "{{- bos_token }}\n{%- for message in loop_messages %}\n{#- It's a comment. #}\n{%- if loop.last and "             \
    "system_message is defined %}{{- \"" before "\" + system_message + \"\\n\\n\" + message[\"content\"] + \"" after   \
    "\" }}{%- else %}{{- \"" before "\" + message[\"content\"] + \"" after "\" }}{%- endif %}\n{{- " answer "}}"
#define MISTRAL_OLD(behind)                                                                                            \
    "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif "            \
    "message['role'] == 'assistant' %}{{ message['content'] + eos_token" behind "}}{% endfor %}"

static const struct {
    const char *text, *format, *system;
    bool bos;
} cases[] = {
    {CHATML, "chatml", NULL, false},
    {"{{ bos_token }}" CHATML, "chatml", NULL, true},
    {"{%- for message in messages -%}\n{{- \"<|im_start|>\" + message.role + \"\\n\" + message.content + "
     "\"<|im_end|>\\n\" -}}\n{%- endfor -%}",
     "chatml", NULL, false},
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n"
     "You are a helpful assistant.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
     "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}",
     "chatml", "You are a helpful assistant.", false},
    {"{%- if tools %}{{- '<|im_start|>system\\n' }}{{- messages[0]['content'] }}{%- else %}{{- '<|im_start|>system\\n' "
     "+ messages[0]['content'] + '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nYou are Qwen, created by "
     "Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}" CHATML,
     "chatml", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", false},
    {"{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
     "message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 "
     "%}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}",
     "llama3", NULL, false},
    {"{{- bos_token }}\n{{- \"Cutting Knowledge Date: December 2023\\n\" }}\n{{- \"Today Date: \" + date_string + "
     "\"\\n\\n\" }}\n" LLAMA3_LOOP,
     "llama3.1", NULL, false},
    {LLAMA2("{% elif false == true and not '<<SYS>>' in messages[0]['content'] %}"), "llama2", NULL, false},
    {MISTRAL_OLD(" + ' '"), "mistral-v0.1", NULL, false},
    {MISTRAL_OLD(""), "mistral-v0.2", NULL, false},
    {MISTRAL(" [INST] ", " [/INST]", "' ' + message['content'] + eos_token"), "mistral-v1", NULL, false},
    {MISTRAL("[INST] ", "[/INST]", "\" \" + message[\"content\"]|trim + eos_token"), "mistral-v3", NULL, false},
    {MISTRAL("[INST]", "[/INST]", "message[\"content\"] + eos_token"), "mistral-tekken", NULL, false},
};

static void test_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_chat_found found;
        struct bt_diag diag = {""};
        TEST_OK(bt_chat_template_recognise(cases[i].text, strlen(cases[i].text), "t", &found, &diag), diag);
        assert_string_equal(found.format, cases[i].format);
        assert_int_equal(found.bos, cases[i].bos);
        if (cases[i].system)
            assert_string_equal(found.system, cases[i].system);
        else
            assert_null(found.system);
        bt_free(found.system);
    }
}

static void test_unknown(void **state)
{
    static const char *const unknown[] = {
        "",
        "{{ messages }}",
        "{% for message in messages %}{{ bos_token + message['role'] + '\\n' + message['content'] + eos_token }}{% "
        "endfor %}",
        /* other white space, other trimming, other strings */
        "{{'<|im_start|>' + message['role'] + ' ' + message['content'] + '<|im_end|>' + '\\n'}}",
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n'}}",
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'}}",
        "{{'<|im_start|>system\\nIt is ' + day + '.<|im_end|>\\n'}}" CHATML,
        "{{'<think>'}}" CHATML,
        "{{bos_token}}{{- 'Knowledge Date: ' + today }}" LLAMA3_LOOP,
        LLAMA3_LOOP,
        LLAMA2("{% elif true == true and not '<<SYS>>' in messages[0]['content'] %}"),
        MISTRAL("[INST] ", "[/INST]", "message['content'] + eos_token"),
        /* what is a comment is not there; what never ends does not run on */
        "{# " CHATML " #}",
        "{{ 'a",
        "{{ 'a\\",
        "{# {{",
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(unknown); i++) {
        struct bt_chat_found found;
        struct bt_diag diag = {""};
        if (bt_chat_template_recognise(unknown[i], strlen(unknown[i]), "t.jinja", &found, &diag) != BT_EINPUT)
            fail_msg("taken for %s: %s", found.format, unknown[i]);
        assert_non_null(strstr(diag.text, "t.jinja: this chat template is not one of those that are known"));
    }
}

static char *folder;

static void expect_in_folder(const char *format, const char *part)
{
    struct bt_chat_found found;
    struct bt_diag diag = {""};
    if (part) {
        assert_int_equal(bt_chat_template_find(folder, &found, &diag), BT_EINPUT);
        if (!strstr(diag.text, part))
            fail_msg("expected '%s' in: %s", part, diag.text);
        return;
    }
    TEST_OK(bt_chat_template_find(folder, &found, &diag), diag);
    assert_string_equal(found.format, format);
    bt_free(found.system);
}

static void write_file(const char *name, const char *text)
{
    test_write_file(test_format("%s/%s", folder, name), text, strlen(text));
}

static void test_where_it_stands(void **state)
{
    (void)state;
    folder = test_make_dir();
    expect_in_folder("none", NULL);
    write_file("tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656}");
    expect_in_folder("none", NULL);
    write_file("tokenizer_config.json", "{\"chat_template\":null}");
    expect_in_folder("none", NULL);
    write_file("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"x\"}]}");
    expect_in_folder(NULL, "neither a string nor a list");
    write_file("tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"x\"},{\"name\":\"default\",\"template\":\""
               "{{'<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n'}}\"}]}");
    expect_in_folder("chatml", NULL);
    write_file("chat_template.jinja", MISTRAL_OLD("")); /* the newer place counts */
    expect_in_folder("mistral-v0.2", NULL);
    write_file("chat_template.jinja", "{{ messages }}");
    expect_in_folder(NULL, "chat_template.jinja: this chat template");
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_where_it_stands),
    };
    return cmocka_run_group_tests_name("text/chat_template", tests, NULL, NULL);
}
