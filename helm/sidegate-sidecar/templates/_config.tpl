{{/* The configuration as the file that Sidegate reads; takes the values. */}}
{{- define "sidegate.lib.config" -}}
{{- $config := deepCopy .config -}}
{{- include "sidegate.lib.words" $config -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
Helm reads a bare `off` as false, before anyone sees that it was a word. Writes it back, in place, wherever the
configuration has no flag. Takes a map or a list.
*/}}
{{- define "sidegate.lib.words" -}}
{{- $flags := splitList "," (include "sidegate.lib.flags" .) -}}
{{- if kindIs "map" . -}}
{{- $map := . -}}
{{- range $key, $item := $map -}}
{{- if kindIs "bool" $item -}}
{{- if not (has $key $flags) -}}{{- $_ := set $map $key (ternary "on" "off" $item) -}}{{- end -}}
{{- else -}}
{{- include "sidegate.lib.words" $item -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" . -}}
{{- range . -}}{{- include "sidegate.lib.words" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sidegate.lib.configmap" -}}
{{- if not .values.existingConfigMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "sidegate.lib.configMapName" . }}
  namespace: {{ .root.Release.Namespace }}
  {{- with .labels }}
  labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  sidegate.yaml: |
    {{- include "sidegate.lib.config" .values | nindent 4 }}
{{- end -}}
{{- end -}}

{{- define "sidegate.lib.configMapName" -}}
{{- .values.existingConfigMap | default .values.configMapName | default (printf "%s-sidegate" .root.Release.Name) -}}
{{- end -}}

{{/* The TCP ports of the listeners, as a JSON list; takes the values. */}}
{{- define "sidegate.lib.ports" -}}
{{- $ports := list -}}
{{- range .config.listeners -}}
{{- if not (hasPrefix "unix:" .address) -}}
{{- $ports = append $ports (regexFind "[0-9]+$" .address | int) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{- define "sidegate.lib.healthPort" -}}
{{- regexFind "[0-9]+$" (dig "health" "address" ":17021" .config) -}}
{{- end -}}

{{/* Without the token the hook that begins the drain is refused. Nothing where there is none; a bare `off` is false to Helm. */}}
{{- define "sidegate.lib.tokenFile" -}}
{{- $file := dig "admin" "tokenFile" "off" .config | toString -}}
{{- if hasPrefix "/" $file }}{{ $file }}{{ end -}}
{{- end -}}

{{/* A duration in whole seconds, rounded up; 0 where it is no duration that could be compared. */}}
{{- define "sidegate.lib.seconds" -}}
{{- $text := toString . -}}
{{- $factors := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?(ms|s|m|h|d)$" $text -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors (regexFind "[a-z]+$" $text)) | ceil | int -}}
{{- else -}}
0
{{- end -}}
{{- end -}}

{{/* What would be accepted by Kubernetes and fail later, in the night. Each names its remedy. */}}
{{- define "sidegate.lib.checks" -}}
{{- $values := .values -}}
{{- $timeout := dig "drain" "timeout" "60s" $values.config -}}
{{- $needed := add (include "sidegate.lib.seconds" $timeout | int) 10 -}}
{{- if lt (int $values.terminationGracePeriodSeconds) (int $needed) -}}
{{- fail (printf "\n\nterminationGracePeriodSeconds is %d and config.drain.timeout is %s: the pod would be killed before its drain is over.\nSet terminationGracePeriodSeconds to %d or more, or shorten config.drain.timeout.\n" (int $values.terminationGracePeriodSeconds) $timeout (int $needed)) -}}
{{- end -}}
{{- $health := dig "health" "address" ":17021" $values.config -}}
{{- if or (hasPrefix "unix:" $health) (hasPrefix "127." $health) (hasPrefix "localhost:" $health) (hasPrefix "[::1]:" $health) -}}
{{- fail (printf "\n\nconfig.health.address is %s, but the kubelet asks at the address of the pod: its probes and the hook of the application would find nobody.\nSet config.health.address to \":17021\", or leave it out.\n" $health) -}}
{{- end -}}
{{- $addresses := list $health -}}
{{- range $values.config.listeners }}{{ $addresses = append $addresses .address }}{{ end -}}
{{- range $address := $addresses -}}
{{- if and (not (hasPrefix "unix:" $address)) (not (regexMatch ":[0-9]+$" $address)) -}}
{{- fail (printf "\n\nthe port of %s is not known before Sidegate reads its environment, but Kubernetes needs it as a number.\nWrite the number.\n" $address) -}}
{{- end -}}
{{- end -}}
{{- range $values.extraVolumeMounts -}}
{{- if .subPath -}}
{{- fail (printf "\n\nextraVolumeMounts: %s is mounted by subPath, and such a file never changes: certificates would expire in place.\nMount the folder instead and name the file in the configuration.\n" .mountPath) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .role "native") (semverCompare "<1.29.0-0" .root.Capabilities.KubeVersion.Version) -}}
{{- fail (printf "\n\nKubernetes %s has no native sidecars (they came with 1.29).\nSet nativeSidecar to false and include the container in containers instead of initContainers, or upgrade the cluster.\n" .root.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
