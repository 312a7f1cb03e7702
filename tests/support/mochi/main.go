// A broker of another make than Mosquitto, for tests: mochi-mqtt with TLS, a certificate a client,
// and the access list that `protoledger.runtime.broker.access_list` writes for Mosquitto.
//
// A client is who its certificate says: the common name becomes its user name and its client id,
// as `use_username_as_clientid` does in Mosquitto. Every SUBSCRIBE with a wildcard is granted, and
// the list is applied to each message that would be delivered.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// The library waits for ever for a CONNECT; afterwards it sets a deadline by the keep-alive.
const connectWithin = 10 * time.Second

func main() {
	listen := flag.String("listen", "127.0.0.1:8883", "address and port")
	authority := flag.String("ca", "", "file of the authority that issued the clients' certificates")
	certificate := flag.String("cert", "", "file of the broker's certificate")
	key := flag.String("key", "", "file of its private key")
	list := flag.String("acl", "", "file of the access list")
	packet := flag.Uint("packet-bytes", 0, "the largest packet; 0: any")
	kept := flag.Uint("kept-messages", 8192, "sent and not acknowledged, or waiting, of a client")
	clients := flag.Int64("connections", 10_000, "of all clients")
	flag.Parse()
	if err := run(*listen, *authority, *certificate, *key, *list, *packet, *kept, *clients); err != nil {
		slog.Error("the broker has ended", "error", err)
		os.Exit(1)
	}
}

func run(listen, authority, certificate, key, list string, packet, kept uint, clients int64) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	rules, err := parse(string(text))
	if err != nil {
		return err
	}
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in " + authority)
	}
	plain, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := mqtt.New(&mqtt.Options{
		Capabilities:           capabilities(packet, kept, clients),
		Logger:                 slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		SysTopicResendInterval: 3600,
	})
	if err := server.AddHook(&certificates{rules: rules}, nil); err != nil {
		return err
	}
	secured := tls.NewListener(impatient{plain}, &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		MinVersion:   tls.VersionTLS12,
	})
	if err := server.AddListener(listeners.NewNet("tls", secured)); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	return server.Close()
}

func capabilities(packet, kept uint, clients int64) *mqtt.Capabilities {
	found := mqtt.NewDefaultServerCapabilities()
	found.MaximumClients = clients
	found.MaximumPacketSize = uint32(packet)
	found.MaximumInflight = uint16(min(kept, 65_535))
	found.MaximumClientWritesPending = int32(min(kept, 65_535))
	found.MaximumSessionExpiryInterval = 3600
	return found
}

// impatient gives a client only so long for its handshake and its CONNECT.
type impatient struct{ net.Listener }

func (l impatient) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(connectWithin))
	}
	return conn, err
}

// certificates names clients by their certificates and holds them to the access list.
type certificates struct {
	mqtt.HookBase
	rules rules
}

func (h *certificates) ID() string { return "certificates" }

func (h *certificates) Provides(b byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck}, []byte{b})
}

// OnConnectAuthenticate refuses a will that the client may not write: the library asks nobody
// about wills.
func (h *certificates) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	secured, ok := cl.Net.Conn.(*tls.Conn)
	if !ok || len(secured.ConnectionState().PeerCertificates) == 0 {
		return false
	}
	name := secured.ConnectionState().PeerCertificates[0].Subject.CommonName
	cl.ID = name
	cl.Properties.Username = []byte(name)
	return name != "" && (!pk.Connect.WillFlag || h.rules.allow(name, pk.Connect.WillTopic, true))
}

// OnACLCheck is asked for each message that a client publishes or would be given, and for each
// filter that it subscribes to; what a wildcard stands for is decided by message.
func (h *certificates) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if !write && strings.ContainsAny(topic, "+#") {
		return true
	}
	return h.rules.allow(cl.ID, topic, write)
}
