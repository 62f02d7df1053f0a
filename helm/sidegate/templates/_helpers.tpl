{{- define "sidegate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "sidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sidegate.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidegate.labels" -}}
{{- $labels := include "sidegate.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/component" .Values.mode -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "sidegate" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $labels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "sidegate.isGateway" -}}
{{- if eq .Values.mode "gateway" }}yes{{ end -}}
{{- end -}}

{{/* The pods: those of the gateway, or those of the workload that has the sidecar. */}}
{{- define "sidegate.podSelector" -}}
{{- if include "sidegate.isGateway" . -}}
matchLabels:
  {{- include "sidegate.selectorLabels" . | nindent 2 }}
{{- else -}}
{{ .Values.networkPolicy.podSelector | default (dict "matchLabels" (dict "sidegate.io/sidecar" "enabled")) | toYaml }}
{{- end -}}
{{- end -}}

{{- define "sidegate.testContainer" -}}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  requests: {cpu: 10m, memory: 64Mi}
  limits: {memory: 128Mi}
volumeMounts:
  - name: sidegate-config
    mountPath: /etc/sidegate
    readOnly: true
{{- end -}}
