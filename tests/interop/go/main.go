// Command interop holds a log that a running Tachograph serves against other people's code: golang.org/x/mod/sumdb opens its
// checkpoints, checks its proofs and reads its tiles. With -serve it is a loopback proxy that passes everything on but for one
// changed byte, for whatever must notice.
//
// It prints a line for each thing that held, and ends with 1 at the first that did not.
package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// service is one log of one running service.
type service struct {
	base, token, tenant, stream, writer string
}

func (s service) get(path string) ([]byte, *http.Response, error) {
	request, err := http.NewRequest(http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return body, response, err
}

func (s service) log(path string) string {
	return fmt.Sprintf("/api/v1/logs/%s/%s/%s/%s", s.tenant, s.stream, s.writer, path)
}

// open opens the newest checkpoint with sumdb/note.
func (s service) open(key string) (*note.Note, tlog.Tree, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	body, response, err := s.get(s.log("checkpoint"))
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	if kind := response.Header.Get("Content-Type"); kind != "text/plain; charset=utf-8" {
		return nil, tlog.Tree{}, fmt.Errorf("a checkpoint of type %q", kind)
	}
	return openNote(body, verifier)
}

func openNote(body []byte, verifier note.Verifier) (*note.Note, tlog.Tree, error) {
	opened, err := note.Open(body, note.VerifierList(verifier))
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return nil, tlog.Tree{}, fmt.Errorf("a checkpoint that reads %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return opened, tlog.Tree{N: size, Hash: root}, err
}

// tiles reads tiles for sumdb/tlog.
type tiles struct{ service }

func (tiles) Height() int                      { return 8 }
func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		// Their path has the height in it, which C2SP fixes at 8.
		path, ok := strings.CutPrefix(tile.Path(), "tile/8/")
		if !ok {
			return nil, fmt.Errorf("tile path %s", tile.Path())
		}
		body, response, err := t.get(t.log("tile/" + path))
		if err != nil {
			return nil, err
		}
		if cache := response.Header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
			return nil, fmt.Errorf("tile %s may not be cached: %q", path, cache)
		}
		read = append(read, body)
	}
	return read, nil
}

// bundle is the entries of an entry bundle.
func (s service) bundle(index int64, width int64) ([][]byte, error) {
	tile := tlog.Tile{H: 8, L: 0, N: index, W: int(width)}
	path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
	body, _, err := s.get(s.log(path))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(body) > 0 {
		if len(body) < 2 || len(body) < 2+int(binary.BigEndian.Uint16(body)) {
			return nil, errors.New("a bundle that ends inside an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(body))
		entries = append(entries, body[2:end])
		body = body[end:]
	}
	if int64(len(entries)) != width {
		return nil, fmt.Errorf("%d entries in a bundle of %d", len(entries), width)
	}
	return entries, nil
}

// document is what GET /api/v1/proofs answers.
type document struct {
	Origin string
	Index  int64
	Entry  []byte
	Proof  string
	Opened *struct {
		Index int64
		Entry []byte
		Proof string
	} `json:"log_opened"`
}

// included checks a tlog-proof with formats/proof, sumdb/note and sumdb/tlog.
func included(text string, index int64, entry []byte, key string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tlog.Tree{}, err
	}
	var read proof.TLogProof
	if err := read.Unmarshal([]byte(text)); err != nil {
		return tlog.Tree{}, err
	}
	if string(read.Marshal()) != text {
		return tlog.Tree{}, errors.New("the proof is spelled otherwise")
	}
	_, tree, err := openNote(read.Checkpoint, verifier)
	if err != nil {
		return tlog.Tree{}, err
	}
	var path tlog.RecordProof
	for _, hash := range read.Hashes {
		path = append(path, tlog.Hash(hash))
	}
	if int64(read.Index) != index {
		return tlog.Tree{}, fmt.Errorf("a proof of %d, not %d", read.Index, index)
	}
	return tree, tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func (s service) check(key, rootKey string) error {
	_, tree, err := s.open(key)
	if err != nil {
		return err
	}
	fmt.Printf("sumdb/note: checkpoint of size %d opened\n", tree.N)

	reader := tlog.TileHashReader(tree, tiles{s})
	indices := []int64{0, 1, 255, 256, 257, 65_535, 65_536, 69_999, tree.N / 256 * 256, tree.N - 1}
	for at := int64(0); at < 40; at++ {
		indices = append(indices, at*7919%tree.N)
	}
	for _, index := range indices {
		first := index / 256 * 256
		entries, err := s.bundle(index/256, min(256, tree.N-first))
		if err != nil {
			return err
		}
		made, err := tlog.ProveRecord(tree.N, index, reader)
		if err != nil {
			return fmt.Errorf("tiles of entry %d: %w", index, err)
		}
		leaf := tlog.RecordHash(entries[index-first])
		if err := tlog.CheckRecord(made, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("entry %d by its tiles: %w", index, err)
		}
		body, _, err := s.get(fmt.Sprintf("/api/v1/proofs?tenant=%s&stream=%s&index=%d", s.tenant, s.stream, index))
		if err != nil {
			return err
		}
		var ours document
		if err := json.Unmarshal(body, &ours); err != nil {
			return err
		}
		if string(ours.Entry) != string(entries[index-first]) {
			return fmt.Errorf("entry %d is another in its proof", index)
		}
		if _, err := included(ours.Proof, index, ours.Entry, key); err != nil {
			return fmt.Errorf("our proof of entry %d: %w", index, err)
		}
		if ours.Opened == nil || !strings.Contains(string(ours.Opened.Entry), key) {
			return fmt.Errorf("the root log's entry does not name the key %s", key)
		}
		if _, err := included(ours.Opened.Proof, ours.Opened.Index, ours.Opened.Entry, rootKey); err != nil {
			return fmt.Errorf("our proof of the opened log: %w", err)
		}
		ours.Entry[len(ours.Entry)-1] ^= 1
		if _, err := included(ours.Proof, index, ours.Entry, key); err == nil {
			return errors.New("a changed entry was proved")
		}
	}
	fmt.Printf("sumdb/tlog: %d inclusion proofs of ours checked, and made from our tiles\n", len(indices))

	sizes := []int64{1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 69_999, tree.N - 1}
	for _, old := range sizes {
		if err := s.consistent(reader, old, tree); err != nil {
			return fmt.Errorf("from size %d: %w", old, err)
		}
	}
	fmt.Printf("sumdb/tlog: %d consistency proofs of ours checked\n", len(sizes))
	return nil
}

func (s service) consistent(reader tlog.HashReader, old int64, tree tlog.Tree) error {
	path := fmt.Sprintf("/api/v1/proofs/consistency?tenant=%s&stream=%s&old=%d&new=%d", s.tenant, s.stream, old, tree.N)
	body, _, err := s.get(path)
	if err != nil {
		return err
	}
	var ours struct {
		OldRoot string `json:"old_root"`
		NewRoot string `json:"new_root"`
		Hashes  []string
	}
	if err := json.Unmarshal(body, &ours); err != nil {
		return err
	}
	var path2 tlog.TreeProof
	for _, text := range ours.Hashes {
		hash, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("hash %q: %v", text, err)
		}
		path2 = append(path2, tlog.Hash(hash))
	}
	root, err := tlog.TreeHash(old, reader)
	if err != nil {
		return err
	}
	if root.String() != ours.OldRoot || tree.Hash.String() != ours.NewRoot {
		return fmt.Errorf("roots %s and %s, by the tiles %s and %s", ours.OldRoot, ours.NewRoot, root, tree.Hash)
	}
	if err := tlog.CheckTree(path2, tree.N, tree.Hash, old, root); err != nil {
		return err
	}
	root[0] ^= 1
	if tlog.CheckTree(path2, tree.N, tree.Hash, old, root) == nil {
		return errors.New("another tree was found consistent")
	}
	return nil
}

// serve passes everything on, but for one byte of the answer to one path.
func serve(target, path string) error {
	to, err := url.Parse(target)
	if err != nil {
		return err
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(response *http.Response) error {
		if response.Request.URL.Path != path || response.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		body[len(body)/2] ^= 1
		response.Body = io.NopCloser(strings.NewReader(string(body)))
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("ready http=%s\n", listener.Addr())
	return http.Serve(listener, proxy)
}

func main() {
	base := flag.String("base", "", "address of the service, http://host:port")
	token := flag.String("token", "", "API token")
	key := flag.String("key", "", "verifier key of the log")
	rootKey := flag.String("root-key", "", "verifier key of the root log")
	flip := flag.String("serve", "", "be a proxy that changes a byte of what is under this path")
	flag.Parse()
	var err error
	if *flip != "" {
		err = serve(*base, *flip)
	} else {
		err = service{*base, *token, "default", "events", "w1"}.check(*key, *rootKey)
	}
	if err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}
