{{/*
The container itself, for the sidecar and for the gateway. Takes root, values, and role: native | classic | gateway.
A test holds it to src/inject/sidecar.ts.
*/}}
{{- define "sidegate.lib.container" -}}
{{- include "sidegate.lib.checks" . -}}
{{- $values := .values -}}
{{- $health := include "sidegate.lib.healthPort" $values -}}
- name: sidegate
  image: {{ include "sidegate.lib.image" . }}
  {{- with $values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  {{- if eq .role "native" }}
  restartPolicy: Always
  {{- end }}
  args: [run, -c, /etc/sidegate/sidegate.yaml]
  {{- with $values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- range $index, $port := include "sidegate.lib.ports" $values | fromJsonArray }}
    - name: sidegate-in{{ if $index }}-{{ add1 $index }}{{ end }}
      containerPort: {{ $port }}
    {{- end }}
    - name: sidegate-health
      containerPort: {{ $health }}
  # None of them waits for the upstream: the application starts only when the start-up probe of the sidecar has passed.
  startupProbe:
    httpGet: {path: /startupz, port: {{ $health }}}
    periodSeconds: 1
    failureThreshold: 60
  readinessProbe:
    httpGet: {path: /readyz, port: {{ $health }}}
    periodSeconds: 5
    failureThreshold: 1
  livenessProbe:
    httpGet: {path: /livez, port: {{ $health }}}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  lifecycle:
    preStop:
      exec:
        {{- /* A native sidecar gets SIGTERM last and drains meanwhile; any other gets it right after this hook, so it waits. */}}
        command: [/nodejs/bin/node, /app/dist/cli.js, drain{{ if ne .role "native" }}, --wait{{ end }}{{ with dig "admin" "address" "" $values.config }}, --admin, {{ quote . }}{{ end }}{{ with include "sidegate.lib.tokenFile" $values }}, --token-file, {{ quote . }}{{ end }}]
  resources:
    {{- toYaml $values.resources | nindent 4 }}
  securityContext:
    {{- toYaml $values.securityContext | nindent 4 }}
  volumeMounts:
    - name: sidegate-config
      mountPath: /etc/sidegate
      readOnly: true
    - name: sidegate-tmp
      mountPath: /tmp
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "sidegate.lib.volumes" -}}
- name: sidegate-config
  configMap:
    name: {{ include "sidegate.lib.configMapName" . }}
- name: sidegate-tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "sidegate.lib.image" -}}
{{- $image := .values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (include "sidegate.lib.version" .) }}
{{- end -}}
{{- end -}}

{{- define "sidegate.lib.podAnnotations" -}}
{{- $annotations := dict -}}
{{- with .values.appContainer -}}
{{- $_ := set $annotations "kubectl.kubernetes.io/default-container" . -}}
{{- end -}}
{{- if and .values.rolloutOnConfigChange (not .values.existingConfigMap) -}}
{{- $_ := set $annotations "checksum/sidegate-config" (include "sidegate.lib.config" .values | sha256sum) -}}
{{- end -}}
{{- if $annotations -}}
{{ toYaml $annotations }}
{{- end -}}
{{- end -}}
