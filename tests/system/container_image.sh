#!/bin/bash
# Images of containers: a real registry, archives, and everything that can be wrong with them.
. "$(dirname "$0")/lib.sh"
HERE=$(dirname "$0")
command -v docker-registry >/dev/null && command -v skopeo >/dev/null || { echo "needs docker-registry and skopeo"; exit 77; }

# start_registry PORT [password]
start_registry() {
	{
		echo "version: 0.1"
		echo "log: {level: error}"
		echo "storage: {filesystem: {rootdirectory: $WORK/registry}, delete: {enabled: true}}"
		echo "http: {addr: '127.0.0.1:$1'}"
		[ -z "${2:-}" ] || echo "auth: {htpasswd: {realm: test, path: $WORK/users}}"
	} >"$WORK/registry-$1.yml"
	docker-registry serve "$WORK/registry-$1.yml" >>"$WORK/registry.log" 2>&1 &
	SERVERS="${SERVERS:-} $!"
	wait_for 10 "the registry on port $1" eval "curl -s -o $WORK/null http://127.0.0.1:$1/v2/"
}
trap 'kill ${SERVERS:-} 2>/dev/null; finish' EXIT

image_field() { strata image show "$1" -o json | python3 -c 'import json,sys; print(eval("json.load(sys.stdin)" + sys.argv[1]))' "$2"; }
push() { skopeo --insecure-policy copy -q "docker-archive:$1" "docker://127.0.0.1:5000/$2" --dest-tls-verify=false; }
digest_of() { skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://127.0.0.1:5000/$1"; }
# What an image that failed may not leave; layers and blobs of earlier ones are known.
remains() { ls "$STATE/oci/layers" "$STATE/oci/blobs/sha256" "$STATE/staging" 2>/dev/null | sort; }

# What removed images had goes in the background.
settle() {
	KNOWN=unknown
	until [ "$(remains)" = "${KNOWN:-}" ]; do
		KNOWN=$(remains)
		sleep 0.5
	done
}

# check_bad KIND TEXT COMMAND...: refused in one line, and after the failed image is removed nothing is left of it.
check_bad() {
	kind=$1 text=$2
	shift 2
	check_refused "$kind" "$text" "$@"
	strata image rm bad >/dev/null 2>&1
	wait_for 5 "nothing to be left of it" eval '[ "$(remains)" = "$KNOWN" ]' || remains | diff - <(echo "$KNOWN")
}

start_daemon
make_busybox
tag=$(node_tag)
busybox=$STATE/oci/layers/$(ls "$STATE/oci/layers" | grep -v info)/bin/busybox
for kind in good escape symlink devices sparse digest env gzip zstd noise; do "$HERE/bad-image" $kind "$busybox" "$WORK/$kind.tar"; done

# A registry
start_registry 5000
push "$WORK/good.tar" shop/web:1
check_refused "without TLS" "speaks no TLS: allow plain HTTP" strata image pull 127.0.0.1:5000/shop/web:1
strata image rm 127.0.0.1:5000/shop/web:1 >/dev/null 2>&1
check "pull by tag" strata image pull 127.0.0.1:5000/shop/web:1 web --plain-http
check_says "it runs" "KIND=good" strata run --rm --attach web -- env
check "pull by digest" strata image pull "127.0.0.1:5000/shop/web@$(digest_of shop/web:1)" exact --plain-http
check_says "of that digest" "$(digest_of shop/web:1)" strata image show exact
check_says "list" "web" strata image ls
check_says "history" "made as good" strata image history web
check "tag" strata image tag web other
check_says "and run it" "good" strata run --rm --attach other -- sh -c 'echo $KIND'
push "$WORK/noise.tar" shop/web:1
check "pull again" strata image pull 127.0.0.1:5000/shop/web:1 web --plain-http
check_says "is the new one" "noise" strata run --rm --attach web -- ls /
check_says "the other name is the old" "good" strata run --rm --attach other -- sh -c 'echo $KIND'
push "$WORK/good.tar" shop/new:2
check_says "run of what is not here pulls it" "127.0.0.1:5000/shop/new:2" eval 'strata run --container --rm --attach 127.0.0.1:5000/shop/new:2 -- true 2>&1 || true'
check_refused "a tag there is not" "nope" strata image pull 127.0.0.1:5000/shop/web:nope x --plain-http
check_refused "nobody listens" "127.0.0.1:5999" strata image pull 127.0.0.1:5999/shop/web:1 x --plain-http
check_refused "not a reference" "UPPER:x:y': that is no reference" strata image pull 127.0.0.1:5000/UPPER:x:y x --plain-http
for image in x 127.0.0.1:5000/shop/new:2; do strata image rm $image >/dev/null 2>&1; done

# With a password
echo 'someone:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' >"$WORK/users"
start_registry 5001 password
check_refused "no password" "user name" strata image pull 127.0.0.1:5001/shop/web:1 guarded --plain-http
check_refused "a wrong password" "user name" eval 'echo guess | strata image pull 127.0.0.1:5001/shop/web:1 guarded --plain-http --username someone --password-stdin'
check "the password" eval 'echo secret | strata image pull 127.0.0.1:5001/shop/web:1 guarded --plain-http --username someone --password-stdin'
check "no file of it is left" eval '! grep -rqs c29tZW9uZTpzZWNyZXQ "$STATE"'
check "it is not shown" eval '! strata image show guarded -o json | grep -q "\"secret"'
wait_for 5 "it to be forgotten" eval '! strata image show guarded -o json | grep -q password'

# Out and in again
for form in docker oci; do
	check "export, $form" strata image export other "$WORK/out-$form.tar" --form $form
	check_says "skopeo reads it" "KIND=good" skopeo inspect --config "$form-archive:$WORK/out-$form.tar"
	check "import, $form" strata image import --container "back-$form" "$WORK/out-$form.tar"
	check_says "it runs" "good" strata run --rm --attach "back-$form" -- sh -c 'echo $KIND'
done
mkdir "$WORK/root" && (cd "$WORK/root" && mkdir bin proc sys dev etc && cp "$busybox" bin/sh)
tar -C "$WORK/root" -czf "$WORK/root.tar.gz" .
check "import a root file system" strata image import --container rootfs "$WORK/root.tar.gz"
check_says "it runs" "from a tar" strata run --rm --attach rootfs -- /bin/sh -c 'echo from a tar'
check "standard input" eval 'strata image import --container piped - <"$WORK/good.tar"'

# What is wrong with others
wait_for 10 "the instances to be gone" eval '[ -z "$(strata ls -o name)" ]'
settle
check_bad "a layer that leaves the image" "'../../etc/passwd' leads out of the image" strata image import --container bad "$WORK/escape.tar"
check_bad "1000 devices" "more than 512 device nodes" strata image import --container bad "$WORK/devices.tar"
check_bad "10 GiB of holes" "sparse file of 10" strata image import --container bad "$WORK/sparse.tar"
check_bad "another layer than is said" "aaaaaaaa" strata image import --container bad "$WORK/digest.tar"
check_bad "a megabyte of environment" "at most 262144 are taken" strata image import --container bad "$WORK/env.tar"
check_bad "half a gzip" "damaged or cut off" strata image import --container bad "$WORK/gzip.tar"
check_bad "half a zstd" "damaged or cut off" strata image import --container bad "$WORK/zstd.tar"
head -c 3000 "$WORK/good.tar" >"$WORK/half.tar"
check_bad "half an archive" "bad" strata image import --container bad "$WORK/half.tar"
head -c 100000 /dev/urandom >"$WORK/random"
check_bad "no archive at all" "bad" strata image import --container bad "$WORK/random"
check_bad "a wrong sha256" "sha256" strata image import --container bad --sha256 "$(printf '%064d' 0)" "$WORK/good.tar"
before=$(stat -c %Y /etc; ls /etc | wc -l)
check "links that point outside" strata image import --container linked "$WORK/symlink.tar"
check_says "stay inside" "strata-was-here-too" strata run --rm --attach linked -- ls /etc
check "the host's /etc is as it was" test "$before" = "$(stat -c %Y /etc; ls /etc | wc -l)"
wait_for 10 "the instance to be gone" eval '[ -z "$(strata ls -o name)" ]'
strata image rm linked >/dev/null

# What is wrong in a registry
arm='{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"'$(digest_of shop/new:2)'","size":100,"platform":{"os":"linux","architecture":"riscv64"}}]}'
curl -s -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' --data-binary "$arm" http://127.0.0.1:5000/v2/shop/new/manifests/arm
check_bad "not for this kind of computer" "amd64" strata image pull 127.0.0.1:5000/shop/new:arm bad --plain-http
push "$WORK/zstd.tar" shop/half:1 2>/dev/null || push "$WORK/noise.tar" shop/half:1
blob=$(find "$WORK/registry" -path '*blobs*' -name data -size +2M | head -n 1)
printf 'damaged' | dd of="$blob" conv=notrunc bs=1 seek=1000000 2>/dev/null
"$HERE/bad-proxy" 5002 5000 stall 200000 & SERVERS="$SERVERS $!"
"$HERE/bad-proxy" 5003 5000 die 200000 & SERVERS="$SERVERS $!"
wait_for 5 "the proxies" eval 'curl -s -o "$WORK/null" http://127.0.0.1:5002/v2/ && curl -s -o "$WORK/null" http://127.0.0.1:5003/v2/'
strata image rm web guarded >/dev/null
settle
check_bad "a damaged blob" "something else than the digest says" strata image pull 127.0.0.1:5000/shop/web:1 bad --plain-http
check_bad "a registry that stalls" "goes on" eval 'strata image pull 127.0.0.1:5002/shop/web:1 bad --plain-http --timeout 2s'
check_bad "a registry that dies" "127.0.0.1:5003" strata image pull 127.0.0.1:5003/shop/web:1 bad --plain-http

# All goes
check "remove them" strata image rm exact other back-docker back-oci rootfs piped
settle
check "only the first one's are left" test "$(strata image ls -o name)" = busybox -a "$(ls "$STATE/oci/layers" | wc -l)" = 2
check "remove all that is unused" strata image prune --all --yes
wait_for 10 "the last layer to go" eval '[ -z "$(remains | grep -v :)" ]'
check_no_container_left "$tag"
