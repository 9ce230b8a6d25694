// A log and a verifier of others for the tests of witnesses: golang.org/x/mod/sumdb for trees and notes, filippo.io/torchwood for
// cosignatures, and an SSH agent for litewitness, which keeps its key in one.
//
//	go-witness agent SOCKET          an agent with one key; prints the key's fingerprint and stays
//	go-witness logkey                the verifier key of the log that `client` plays
//	go-witness client URL VKEY       plays a log towards the witness at URL whose key is VKEY
//	go-witness verify LOGVKEY VKEY.. opens the note on standard input: log and every witness must have signed
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "example.com/go-log"

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: go-witness agent|logkey|client|verify ...")
	}
	switch command, rest := os.Args[1], os.Args[2:]; {
	case command == "agent" && len(rest) == 1:
		serveAgent(rest[0])
	case command == "logkey" && len(rest) == 0:
		fmt.Println(logKey())
	case command == "client" && len(rest) == 2:
		play(rest[0], rest[1])
	case command == "verify" && len(rest) >= 2:
		verify(rest[0], rest[1:])
	default:
		log.Fatalf("unknown command or arguments: %q", os.Args[1:])
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// serveAgent holds a key that is the same in every run: what it signs is worth nothing.
func serveAgent(socket string) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &key}); err != nil {
		log.Fatal(err)
	}
	public := must(ssh.NewPublicKey(key.Public()))
	listener := must(net.Listen("unix", socket))
	fmt.Println(ssh.FingerprintSHA256(public))
	for {
		connection := must(listener.Accept())
		go func() {
			defer connection.Close()
			_ = agent.ServeAgent(ring, connection)
		}()
	}
}

func private() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
}

func logKey() string {
	return must(note.NewEd25519VerifierKey(origin, private().Public().(ed25519.PublicKey)))
}

func logSigner(name string) note.Signer {
	verifier := must(note.NewVerifier(must(note.NewEd25519VerifierKey(name, private().Public().(ed25519.PublicKey)))))
	secret := base64.StdEncoding.EncodeToString(append([]byte{1}, private().Seed()...))
	return must(note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, verifier.KeyHash(), secret)))
}

// history is a tree in memory; two with another salt from some index on are a fork.
type history struct{ hashes []tlog.Hash }

func (h *history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = h.hashes[at]
	}
	return out, nil
}

func grown(size, forkAt int64) *history {
	h := &history{}
	for at := int64(0); at < size; at++ {
		salt := 0
		if at >= forkAt {
			salt = 1
		}
		stored := must(tlog.StoredHashes(at, []byte(fmt.Sprintf("%d %d", at, salt)), h))
		h.hashes = append(h.hashes, stored...)
	}
	return h
}

func (h *history) note(name string, size int64) []byte {
	checkpoint := torchwood.Checkpoint{Origin: name, Tree: tlog.Tree{N: size, Hash: must(tlog.TreeHash(size, h))}}
	return must(note.Sign(&note.Note{Text: checkpoint.String()}, logSigner(name)))
}

func (h *history) request(name string, old, size int64) []byte {
	var body bytes.Buffer
	fmt.Fprintf(&body, "old %d\n", old)
	if old > 0 && old < size {
		for _, hash := range must(tlog.ProveTree(size, old, h)) {
			fmt.Fprintf(&body, "%s\n", hash)
		}
	}
	body.WriteString("\n")
	body.Write(h.note(name, size))
	return body.Bytes()
}

// play shows a witness a log that grows, and then what no log may show.
func play(url, vkey string) {
	verifier := must(torchwood.NewCosignatureVerifier(vkey))
	post := func(what string, body []byte, status int) []byte {
		response := must(http.Post(strings.TrimSuffix(url, "/")+"/add-checkpoint", "", bytes.NewReader(body)))
		defer response.Body.Close()
		answer := must(io.ReadAll(response.Body))
		if response.StatusCode != status {
			log.Fatalf("%s: %d, expected %d: %s", what, response.StatusCode, status, answer)
		}
		if kind := response.Header.Get("Content-Type"); status == 409 && kind != "text/x.tlog.size" {
			log.Fatalf("%s: content type %q", what, kind)
		}
		fmt.Printf("%s: %d\n", what, status)
		return answer
	}
	cosigned := func(what string, h *history, old, size int64) {
		answer := post(what, h.request(origin, old, size), 200)
		signed := append(h.note(origin, size), answer...)
		logVerifier := must(note.NewVerifier(logKey()))
		opened := must(note.Open(signed, note.VerifierList(logVerifier, verifier)))
		if len(opened.Sigs) != 2 {
			log.Fatalf("%s: %d signatures verified", what, len(opened.Sigs))
		}
	}
	conflict := func(what string, body []byte, size string) {
		if answer := post(what, body, 409); string(answer) != size+"\n" {
			log.Fatalf("%s: it holds %q, expected %s", what, answer, size)
		}
	}
	h, fork := grown(300, 300), grown(300, 60)
	cosigned("first contact", h, 0, 5)
	conflict("first contact again", h.request(origin, 0, 9), "5")
	cosigned("growth", h, 5, 100)
	cosigned("the same again", h, 100, 100)
	conflict("rollback", h.request(origin, 50, 60), "100")
	conflict("behind", h.request(origin, 7, 200), "100")
	post("fork", fork.request(origin, 100, 200), 422)
	conflict("fork of the same size", fork.request(origin, 100, 100), "100")
	post("old over size", append([]byte("old 300\n\n"), h.note(origin, 200)...), 400)
	post("nonsense", []byte("nonsense"), 400)
	post("another log", h.request("example.com/other", 0, 5), 404)
	unsigned := bytes.Replace(h.request(origin, 100, 200), []byte("\n200\n"), []byte("\n201\n"), 1)
	post("a wrong signature", unsigned, 403)
	cosigned("growth after all that", h, 100, 300)
}

func verify(logKey string, witnesses []string) {
	verifiers := []note.Verifier{must(note.NewVerifier(logKey))}
	for _, vkey := range witnesses {
		verifiers = append(verifiers, must(torchwood.NewCosignatureVerifier(vkey)))
	}
	opened := must(note.Open(must(io.ReadAll(os.Stdin)), note.VerifierList(verifiers...)))
	if len(opened.Sigs) != len(verifiers) {
		log.Fatalf("%d of %d have signed", len(opened.Sigs), len(verifiers))
	}
	checkpoint := must(torchwood.ParseCheckpoint(opened.Text))
	fmt.Println(checkpoint.N)
}
