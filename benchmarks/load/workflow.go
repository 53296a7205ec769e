package main

import (
	"fmt"

	"meshgate/benchmarks/prose"
)

// workflow is one conversation as an agent resends it: a system prompt, turns whose text never changes again, and a
// fresh last message in every call. When it outgrows -size its oldest messages go, the system prompt stays.
type workflow struct {
	id, key  string
	turn     int // of a workflow that begins anew with each call
	text     *prose.Writer
	prefix   []byte   // up to and with the system prompt
	messages [][]byte // encoded, in order, from user to assistant to user
	bytes    int      // of prefix, messages and suffix
	suffix   []byte
	users    int
	offset   int // so that workflows do not carry their personal data in the same turn
}

func newWorkflow(id, key string, text *prose.Writer) *workflow {
	f := &workflow{id: id, key: key, text: text, offset: text.Between(0, 1000)}
	f.begin()
	return f
}

// begin writes the calls before the first one that is measured.
func (f *workflow) begin() {
	f.messages, f.users = f.messages[:0], 0
	f.prefix = fmt.Appendf(nil, `{"model":"%s","temperature":0.2,"max_tokens":400,`, *model)
	if *stream {
		f.prefix = append(f.prefix, `"stream":true,"stream_options":{"include_usage":true},`...)
	}
	f.prefix = append(f.prefix, `"messages":[{"role":"system","content":"You help the operations team. `...)
	f.prefix = append(f.text.Mixed(f.prefix, 60), `"}`...)
	f.suffix = []byte("]}")
	f.bytes = len(f.prefix) + len(f.suffix)
	for f.bytes < *size { // the calls before the benchmark began
		f.user()
		f.assistant()
	}
}

// name is the correlation id of the next call.
func (f *workflow) name() string {
	if !*fresh {
		return f.id
	}
	return fmt.Sprintf("%s-%d", f.id, f.turn)
}

// words appends text of n bytes or a little more.
func (f *workflow) words(dst []byte, n int) []byte {
	if *agents {
		return f.text.Agent(dst, n)
	}
	return f.text.Mixed(dst, n)
}

// next appends the body of the next call to dst.
func (f *workflow) next(dst []byte) []byte {
	if *fresh {
		f.turn++
		f.begin()
	}
	f.user()
	f.trim()
	dst = append(dst, f.prefix...)
	for _, message := range f.messages {
		dst = append(append(dst, ','), message...)
	}
	dst = append(dst, f.suffix...)
	f.assistant()
	return dst
}

// user adds a fresh message of 200 to 400 bytes; every -personal'th one carries personal data, for good.
func (f *workflow) user() {
	message := []byte(`{"role":"user","content":"`)
	length := f.text.Between(200, 400)
	if f.users++; *personal > 0 && (f.users+f.offset)%*personal == 0 {
		message = f.text.Personal(message)
		length = max(length-len(message), 60)
	}
	f.add(append(f.words(message, length-60), `"}`...))
}

// assistant adds the answer to it: as long as the mock's answers, shorter where the whole body is small.
func (f *workflow) assistant() {
	message := []byte(`{"role":"assistant","content":"`)
	f.add(append(f.words(message, min(560, *size/6)), `"}`...))
}

func (f *workflow) add(message []byte) {
	f.messages = append(f.messages, message)
	f.bytes += len(message) + 1
}

// trim drops the oldest messages so that the body is, on average, -size long; the last message always stays.
func (f *workflow) trim() {
	dropped := 0
	for dropped < len(f.messages)-1 && f.bytes-len(f.messages[dropped])/2 > *size {
		f.bytes -= len(f.messages[dropped]) + 1
		dropped++
	}
	if dropped > 0 {
		f.messages = append(f.messages[:0], f.messages[dropped:]...)
	}
}
