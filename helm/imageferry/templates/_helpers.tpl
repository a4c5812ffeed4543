{{- define "imageferry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The pod's name is this and "-0", and must fit into a label. */}}
{{- define "imageferry.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "imageferry.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "imageferry.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "imageferry.selector" -}}
app.kubernetes.io/name: {{ include "imageferry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "imageferry.labels" -}}
{{ include "imageferry.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "imageferry.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "imageferry.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "imageferry.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The config file: the user's part, and what the chart alone decides. */}}
{{- define "imageferry.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.accounts -}}
{{- $_ := set $config "accounts" (.Files.Get "examples/accounts.yaml" | fromYaml) -}}
{{- end -}}
{{- include "imageferry.refuseSecrets" (dict "at" "config" "value" $config) -}}
{{- $_ := set $config "policies" "/etc/imageferry/policies" -}}
{{- $_ := set $config "ops" (dict "listen" (printf "%s:%v" .Values.ops.host .Values.ops.port)) -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "imageferry.policies" -}}
{{- if .Values.policies -}}
{{- toYaml .Values.policies -}}
{{- else if .Values.config.accounts -}}
{{- fail "config.accounts is set and policies is empty: give at least one policy file under policies" -}}
{{- else -}}
{{- .Files.Get "examples/policies.yaml" -}}
{{- end -}}
{{- end -}}

{{/* A ConfigMap is no place for secrets: every key that holds one must be ${NAME}, or its sibling in _file be used. */}}
{{- define "imageferry.refuseSecrets" -}}
{{- $at := .at -}}
{{- $words := list "secret_id" "secret_key" "token" "access_key_id" "access_key_secret" "security_token" "ak" "sk" "access_key" "session_token" "secret" "sasl_password" "key_password" -}}
{{- if kindIs "map" .value -}}
{{- range $key, $inner := .value -}}
{{- if and (has $key $words) (not (kindIs "map" $inner)) (not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" (toString $inner))) -}}
{{- fail (printf "%s.%s holds a secret in plain text: write ${NAME} with a Secret under secrets.env, or use %s_file with one under secrets.files" $at $key $key) -}}
{{- end -}}
{{- include "imageferry.refuseSecrets" (dict "at" (printf "%s.%s" $at $key) "value" $inner) -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $inner := .value -}}
{{- include "imageferry.refuseSecrets" (dict "at" (printf "%s[%d]" $at $index) "value" $inner) -}}
{{- end -}}
{{- else if kindIs "string" .value -}}
{{- if regexMatch "^[a-z]+://[^/@]*:[^@]+@" (regexReplaceAll "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" .value "") -}}
{{- fail (printf "%s holds a password in plain text: write ${NAME} in its place, with a Secret under secrets.env" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
