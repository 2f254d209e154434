#!/bin/sh
# Run inside of the container, as its user: proves that what the README names is there and works.   usage: sh test.sh
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

check() { # NAME EXPECTED COMMAND...
    name=$1 expected=$2
    shift 2
    answer=$("$@" 2>&1) || { echo "FAIL $name: ended with $?: $answer"; exit 1; }
    case $answer in
        *"$expected"*) echo "ok   $name" ;;
        *) echo "FAIL $name: expected '$expected', got '$answer'"; exit 1 ;;
    esac
}

check 'not root' dev id -un
check 'a home that can be written' fine sh -c 'echo fine > "$HOME/.probe" && cat "$HOME/.probe" && rm "$HOME/.probe"'
check 'git' 'git version' git --version

printf 'public class Six { public static void main(String[] a) { System.out.println(6 * 7); } }\n' > Six.java
check 'compile and run' 42 sh -c 'javac Six.java && java -cp . Six'
check 'a jar' 42 sh -c 'jar --create --file six.jar --main-class Six Six.class && java -jar six.jar'
case '${templateOption:buildTool}' in
    maven) check 'maven' 'Apache Maven' mvn --version ;;
    ant)
        printf '<project default="x"><target name="x"><echo message="fine"/></target></project>' > build.xml
        check 'ant' fine ant ;;
esac
case '${templateOption:jdk}' in
    debian) ;;
    *) check 'the version' '${templateOption:jdk}.' javac --version ;;
esac
